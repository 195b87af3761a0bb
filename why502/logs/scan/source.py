"""The files that the paths on a command line mean: files, folders, patterns, rotated sets, and what fsspec reaches."""

from __future__ import annotations

import errno
import glob
import importlib
import io
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from why502.logs.files import COMPRESSED
from why502.model.base import Value
from why502.model.errors import Why502Error

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://")
_NUMBERED = re.compile(r"(.*?)\.(\d{1,4})$")
_NOT_LOGS = re.compile(r".*\.(?:conf|pid|sock|db|sqlite|json\.state|swp|tmp)$|\..*")
STANDARD_INPUT = "-"
HEAD_BYTES = 1 << 20


class Source(Value, frozen=True, kw_only=True):
    """One file. `size_bytes` as stored."""

    path: str
    size_bytes: int = 0
    modified_s: float = 0.0


def expand(paths: tuple[str, ...]) -> list[Source]:
    """Return the files that paths mean, each once, rotated sets in the order of time. Raises Why502Error."""
    found: dict[str, Source] = {}
    for path in paths:
        several = list(_several(path))
        if not several:
            raise Why502Error(f"{path}: no such log", "Check the path or pattern.")
        for source in several:
            found.setdefault(source.path, source)
    return sorted(found.values(), key=_order)


def open_(path: str) -> BinaryIO:
    """Return a seekable stream. Raises Why502Error, OSError."""
    if path == STANDARD_INPUT:
        return cast(BinaryIO, _piped())
    if _REMOTE.match(path):
        system, inner = _filesystem(path)
        return cast(BinaryIO, system.open(inner, "rb"))
    return open(path, "rb", buffering=0)


class Piped(io.RawIOBase):
    """A pipe that can be read from its begin again as long as no more than HEAD_BYTES were read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._head = b""
        self._at = 0
        self._is_past = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: as far as it goes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, b"" at the end."""
        if self._at < len(self._head):
            found = self._head[self._at : self._at + size] if size >= 0 else self._head[self._at :]
            self._at += len(found)
            return found
        found = self._stream.read1(size) if hasattr(self._stream, "read1") else self._stream.read(size)
        if not self._is_past:
            self._head += found
            self._is_past = len(self._head) > HEAD_BYTES
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go back to a place in the head."""
        if whence or offset > len(self._head) or (self._is_past and self._at > len(self._head)):
            raise OSError(errno.ESPIPE, "a pipe cannot be read twice")
        self._at = offset
        return offset

    def close(self) -> None:
        """Leave the pipe open: it is read from its begin again."""


@lru_cache(1)
def _piped() -> Piped:
    return Piped(sys.stdin.buffer)


def _order(source: Source) -> tuple[str, int, float, str]:
    """Sort `access.log.2.gz`, `access.log.1`, `access.log` like this: the highest number is the oldest."""
    name = source.path
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    if match := _NUMBERED.match(name):
        return match[1], -int(match[2]), 0.0, source.path
    stem = re.sub(r"[.-]\d{8}(?:[T_-]?\d{2,6})?(?=\.|$)", "", name)
    return stem, 0 if stem != name else 1, 0.0, source.path


def _several(path: str) -> Iterator[Source]:
    if path == STANDARD_INPUT:
        yield Source(path=path)
    elif _REMOTE.match(path):
        yield from _remote(path)
    elif Path(path).is_dir():
        for name in sorted(Path(path).iterdir()):
            if name.is_file() and not _NOT_LOGS.fullmatch(name.name):
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
            raise Why502Error(f"{path}: is no regular file", "Give a log, or pipe its lines in with `-`.")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Why502Error(
            f"{path}: {(error.strerror or str(error)).lower()}", "Check the path, and that you may read it (root may)."
        ) from error
    return Source(path=path, size_bytes=status.st_size, modified_s=status.st_mtime)


def _remote(path: str) -> Iterator[Source]:
    system, inner = _filesystem(path)
    scheme = path.split("://", 1)[0]
    try:
        names = (
            sorted(system.glob(inner))
            if glob.has_magic(inner)
            else sorted(system.find(inner))
            if system.isdir(inner)
            else [inner]
        )
        for name in names:
            told = system.info(name)
            url = (
                path
                if name == inner
                else system.unstrip_protocol(name)
                if scheme in ("s3", "gs", "file", "memory")
                else _rejoined(path, inner, name)
            )
            yield Source(path=url, size_bytes=int(told.get("size") or 0))
    except Why502Error:
        raise
    except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
        raise Why502Error(
            f"{path}: {str(error)[:200] or type(error).__name__}",
            "Check the address, and the credentials that its own tools use.",
        ) from error


def _rejoined(path: str, inner: str, name: str) -> str:
    base = path[: len(path) - len(inner)] if path.endswith(inner) else path.split("/", 3)[0] + "//" + path.split("/", 3)[2]
    return base + name


def _filesystem(path: str) -> tuple[Any, str]:
    if path.startswith("ssh://"):
        path = "sftp://" + path.removeprefix("ssh://")
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError as error:
        raise Why502Error(f"{path}: reading from there needs fsspec", "pip install 'why502[remote]'") from error
    try:
        system, inner = core.url_to_fs(path)
    except ImportError as error:
        raise Why502Error(f"{path}: {error}", "pip install 'why502[remote]'") from error
    except Exception as error:  # noqa: BLE001
        raise Why502Error(
            f"{path}: {str(error)[:200] or type(error).__name__}", "Check the address and the credentials."
        ) from error
    return system, inner
