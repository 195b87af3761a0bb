"""Resolves the paths of a command line: files, directories, patterns, rotated sets, and addresses for fsspec."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from why502.logs.files import COMPRESSED
from why502.logs.scan.piped import Piped
from why502.logs.scan.source_file import Source, is_no_log
from why502.model.errors import Why502Error
from why502.model.patterns import lazy

_REMOTE = lazy(r"[a-z][a-z0-9+.-]+://")
_NUMBERED = lazy(r"(.*?)\.(\d{1,4})$")
_DATED = lazy(r"[._-](?:\d{8}|\d{4}-\d\d-\d\d)(?:[T_-]\d[\d:.-]{1,9})?(?=\.|$)")  # dateformat of logrotate(8)
STANDARD_INPUT = "-"


def expand(paths: tuple[str, ...]) -> list[Source]:
    """Return the files that the paths mean, each once, with rotated sets in time order. Raises Why502Error."""
    found: dict[str, Source] = {}
    for path in paths:
        several = list(_several(path))
        if not several:
            raise Why502Error(f"{path}: no such log", "Check the path or pattern; `**` includes subdirectories.")
        for source in several:
            found.setdefault(source.path, source)
    return sorted(found.values(), key=_order)


def open_(path: str) -> BinaryIO:
    """Return a seekable stream. Raises Why502Error, OSError."""
    if path == STANDARD_INPUT:
        return cast(BinaryIO, _piped())
    if is_remote(path):
        from why502.logs.scan import remote

        return remote.open_(path)
    return open(path, "rb", buffering=0)


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
        for name in sorted(Path(path).iterdir()):
            if name.is_file() and not is_no_log(name.name):
                yield _local(str(name))
    elif Path(path).exists() or not glob.has_magic(path):
        yield _local(path)
    else:
        for found in sorted(glob.glob(path, recursive=True)):  # noqa: PTH207 - a pattern of the user's, as the shell knows it
            if Path(found).is_file():
                yield _local(found)


def _local(path: str) -> Source:
    try:
        status = Path(path).stat()
        if not Path(path).is_file():
            raise Why502Error(f"{path}: is not a regular file", "Give a log file, or pipe its lines in with `-`.")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Why502Error(
            f"{path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions, or run as root."
        ) from error
    return Source(path=path, size_bytes=status.st_size, modified_s=status.st_mtime)
