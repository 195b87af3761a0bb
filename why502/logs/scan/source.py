"""Resolves the paths of a command line: files, directories, patterns, rotated sets, and addresses for fsspec."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from why502.logs.files import COMPRESSED
from why502.logs.scan.matching import matching
from why502.logs.scan.piped import Piped
from why502.logs.scan.source_file import Source, is_no_log
from why502.model.errors import Why502Error
from why502.model.patterns import lazy

_REMOTE = lazy(r"[a-z][a-z0-9+.-]+://")
_NUMBERED = lazy(r"(.*?)\.(\d{1,4})$")
_DATED = lazy(r"[._-](?:\d{8}|\d{4}-\d\d-\d\d)(?:[T_-]\d[\d:.-]{1,9})?(?=\.|$)")  # dateformat of logrotate(8)
STANDARD_INPUT = "-"


def expand(paths: tuple[str, ...]) -> list[Source]:
    """Return the files that the paths mean, with rotated sets in time order. Raises Why502Error.

    Each file is there once, whatever links lead to it. What cannot be read in a directory, or matches a pattern, has the reason.
    """
    found: dict[str | tuple[int, int], Source] = {}
    for path in paths:
        several = list(_several(path))
        if not several:
            raise Why502Error(f"{path}: no such log", "Check the path or pattern; `**` includes subdirectories.")
        for source in several:
            found.setdefault(source.identity or source.path, source)
    return sorted(found.values(), key=_order)


def open_(path: str) -> BinaryIO:
    """Return a seekable stream. Raises Why502Error, OSError."""
    if path == STANDARD_INPUT:
        return cast(BinaryIO, _piped())
    if is_remote(path):
        from why502.logs.scan import remote

        return remote.open_(path)
    return open(path, "rb", buffering=0, opener=_opened)


@lru_cache(1)
def _piped() -> Piped:
    return Piped(sys.stdin.buffer, is_shared=True)


def _order(source: Source) -> tuple[str, int, float, str]:
    """Return a sort key for the order `access.log.2.gz`, `access.log.1`, `access.log`: the highest number is the oldest."""
    name = source.path
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    if match := _NUMBERED.match(name):
        return match[1], -int(match[2]), 0.0, source.path
    stem = _DATED.sub("", name)
    return stem, 0 if stem != name else 1, 0.0, source.path


def is_remote(path: str) -> bool:
    """Return whether a path is the address of a log on another machine."""
    return _REMOTE.match(path) is not None


def renew() -> None:
    """Drop all connections to other machines, because processes forked from now on cannot share them."""
    if (remote := sys.modules.get(f"{__package__}.remote")) is not None:
        remote.renew()


def _several(path: str) -> Iterator[Source]:
    if path == STANDARD_INPUT:
        yield Source(path=path)
    elif is_remote(path):
        from why502.logs.scan import remote

        yield from remote.expand(path)
    elif Path(path).is_dir():
        yield from map(_found, _files(path))
    elif Path(path).exists() or not glob.has_magic(path):
        yield _local(path)
    else:
        for found in sorted(matching(path)):
            if not Path(found).is_dir() or not os.access(found, os.R_OK | os.X_OK):
                yield _found(found)


def _files(directory: str) -> list[str]:
    """Return the paths of the files of a directory, without those that are not logs. Raises Why502Error."""
    try:
        with os.scandir(Path(directory)) as entries:
            found = sorted(
                (entry.name, str(entry.path)) for entry in entries if not (is_no_log(entry.name) or _is_directory(entry))
            )
    except OSError as error:
        raise _unreadable(directory, error) from error
    return [path.removeprefix("./") for _, path in found]


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _found(path: str) -> Source:
    """Return a file that a directory or pattern led to. It does not matter to the others if it cannot be read."""
    try:
        return _local(path)
    except Why502Error as error:
        return Source(path=path, reason=error.message.removeprefix(f"{path}: "))


def _local(path: str) -> Source:
    try:
        status = os.stat(path)  # noqa: PTH116 - of ten thousand files
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise Why502Error(f"{path}: is not a regular file", "Give a log file, or pipe its lines in with `-`.")
        os.close(_opened(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise _unreadable(path, error) from error
    return Source(path=path, size_bytes=status.st_size, modified_s=status.st_mtime, identity=(status.st_dev, status.st_ino))


def _unreadable(path: str, error: OSError) -> Why502Error:
    return Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions, or run as root.")


def _opened(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe that may have taken its place."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
