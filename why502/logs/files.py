"""The files of a log: the file itself, its rotated siblings, and the deleted file that a proxy still writes to."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

from why502.model.errors import HostError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
SIBLINGS = 50  # maximum number of rotated files read per log
DESCRIPTORS = 4096


class Status(Protocol):
    """The fields used of stat(2)."""

    @property
    def kind(self) -> str:
        """Return `file`, `directory`, `socket`, `link` or `other`."""
        ...

    @property
    def size_bytes(self) -> int:
        """Return the size on disk."""
        ...

    @property
    def modified_s(self) -> float:
        """Return the time of the last write, in seconds since the epoch."""
        ...

    @property
    def inode(self) -> int:
        """Return the inode number."""
        ...

    @property
    def device(self) -> int:
        """Return the device number."""
        ...


class Files(Protocol):
    """The part of a Host through which logs are read. Each method raises HostError."""

    def open(self, path: str) -> BinaryIO:
        """Return a seekable stream."""
        ...

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a small file's content."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the names in a directory."""
        ...

    def link(self, path: str) -> str:
        """Return the target of a symbolic link, as readlink(2) does."""
        ...

    def stat(self, path: str, *, follow: bool = True) -> Status:
        """Return the status of a file: stat(2), or lstat(2) without `follow`."""
        ...

    def inside(self, root: str) -> Files:
        """Return the files below another root; no link leads out of it."""
        ...


class Part(NamedTuple):
    """One file of a log. Open the path `opens` through `files`."""

    files: Files
    opens: str
    status: Status
    is_deleted: bool = False


def regular(files: Files, path: str) -> Status:
    """Return the status of a regular file, which has an end. Raises HostError for anything else, without opening it."""
    status = files.stat(path)
    if status.kind == "directory":
        raise HostError("is a directory, not a file", "give the path of the log itself")
    if status.kind != "file":
        raise HostError(
            "is not a regular file (a pipe, device or socket): its lines go to another program", "read them at their destination"
        )
    return status


def rotated(files: Files, path: str, since: float) -> Iterator[Part]:
    """Yield the rotated siblings of a log written to since `since`, newest first.

    Names as logrotate(8) creates them: `.1`, `-20261120`, dateext formats, `extension`, compressed or not. A directory that
    cannot be listed has none.
    """
    directory, base = posixpath.split(path)
    try:
        names = rotated_names(base, files.list(directory or "/"))
    except HostError:
        return
    found = []
    for name in names:
        with contextlib.suppress(HostError):
            full = posixpath.join(directory, name)
            status = regular(files, full)
            if status.modified_s >= since:
                found.append(Part(files, full, status))
    yield from sorted(found, key=lambda part: (-part.status.modified_s, len(part.opens), part.opens))[:SIBLINGS]


def rotated_names(base: str, names: Iterable[str]) -> list[str]:
    """Return the names in a directory that are rotated files of a log. While one is being compressed, its plain file counts."""
    stem, extension = posixpath.splitext(base)
    dated = r"[.-]\d[\d.T:_-]*"
    pattern = re.compile(
        rf"(?:{re.escape(base)}{dated}|{re.escape(stem)}{dated}{re.escape(extension)})(?:{'|'.join(map(re.escape, COMPRESSED))})?"
    )
    found = dict.fromkeys(name for name in names if name != base and pattern.fullmatch(name))
    return [name for name in found if not (name.endswith(COMPRESSED) and posixpath.splitext(name)[0] in found)]


def unlinked(files: Files, path: str, pid: int) -> Iterator[Part]:
    """Yield deleted files that a process still writes to (proc_pid_fd(5)) and that had this name, or that of a rotated file."""
    directory = f"/proc/{pid}/fd"
    try:
        numbers = files.list(directory)[:DESCRIPTORS]
    except HostError:
        return
    seen = set()
    for number in numbers:
        with contextlib.suppress(HostError):
            name = files.link(f"{directory}/{number}")
            gone = name.removesuffix(" (deleted)")
            if gone == name or not (gone == path or gone.startswith((path + ".", path + "-"))):
                continue
            status = regular(files, f"{directory}/{number}")
            if (status.device, status.inode) not in seen:
                seen.add((status.device, status.inode))
                yield Part(files, f"{directory}/{number}", status, is_deleted=True)
