"""The logs of this machine that the server may read: those it was started with. A request names one by id, never by path."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from why502.logs.scan.source import expand, is_remote
from why502.model.errors import Why502Error
from why502.model.times import of_epoch

MOST = 500  # of one page
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_HINT = "Start `why502 serve` as a user who may read it."


@dataclass(slots=True, frozen=True, kw_only=True)
class AllowedLog:
    """A file. `id` stays the same as long as its path does."""

    id: str
    path: str
    size_bytes: int
    modified_at: datetime | None


def check(paths: tuple[str, ...]) -> None:
    """Raise Why502Error for what is not a path, pattern or directory of this machine."""
    for path in paths:
        if is_remote(path) or path == "-":
            raise Why502Error(f"--log {path}: only logs of this machine can be read", "Give a file, a directory, or a pattern.")


def find(paths: tuple[str, ...]) -> list[AllowedLog]:
    """Return the files that the paths mean now, the newest first."""
    found = {one.id: one for path in paths for one in _of(path)}
    return sorted(found.values(), key=lambda one: (one.modified_at is None, one.modified_at), reverse=True)[:MOST]


def _of(path: str) -> Iterator[AllowedLog]:
    try:
        sources = expand((path,))
    except Why502Error:
        return
    for source in (source for source in sources if not source.reason):
        id_ = hashlib.sha256(os.fsencode(source.path)).hexdigest()[:16]
        yield AllowedLog(id=id_, path=source.path, size_bytes=source.size_bytes, modified_at=of_epoch(int(source.modified_s)))


def open_log(path: str) -> int:
    """Return a descriptor of a log. Raises Why502Error.

    A symbolic link is followed only if root, we, or the owner of the file made it: whoever may write into a directory of logs
    could otherwise have us read any file.
    """
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", _HINT) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Why502Error(f"{path} is not a file", "Give a log.")
    return descriptor


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    maker = os.lstat(path).st_uid
    descriptor = os.open(path, _FLAGS)
    if maker not in (0, os.geteuid(), os.fstat(descriptor).st_uid):
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is a link that another user made")
    return descriptor
