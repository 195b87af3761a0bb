"""Atomic file writes: at any moment, even after a power loss, the file has either the complete old
or the complete new content.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import sys
from pathlib import Path

from why502.host import output
from why502.model.errors import Why502Error

SUFFIX = ".why502"
_GET_FLAGS = 0x80086601
_ATTRIBUTES = {0x10: "immutable (chattr +i)", 0x20: "append-only (chattr +a)"}
ABSENT = ""  # the digest of a missing file


def digest(data: bytes) -> str:
    """Return the SHA-256 of the data in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: str) -> str:
    """Return the digest of a file's content, ABSENT if there is no file. Raises Why502Error."""
    try:
        return digest(Path(path).read_bytes())
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise failure(path, error) from error


def failure(path: str, error: OSError, hint: str = "Nothing was changed there.") -> Why502Error:
    """Return the error for a path, as text."""
    return Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", hint)


def read(path: str) -> bytes:
    """Return a file's content. Raises Why502Error."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise failure(path, error) from error


def may_change(path: str) -> None:
    """Raise Why502Error if a file is protected: no write bit, no permission, a read-only file system, or not a regular file."""
    try:
        found = os.stat(path)
        is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError as error:
        raise failure(path, error, "Nothing was changed.") from error
    if not stat.S_ISREG(found.st_mode):
        raise Why502Error(f"{path} is not a regular file", "Nothing was changed.")
    directory = os.path.dirname(path) or "."
    for protected in (path, directory):
        if words := _attribute(protected):
            raise Why502Error(
                f"{protected} is {words}", "Nothing was changed. Take the attribute away first, or make the change at its source."
            )
    if _is_bound(path):
        raise Why502Error(
            f"{path} is mounted there alone, and cannot be replaced in one step",
            "Nothing was changed. Change the file that is mounted there.",
        )
    may_write = os.access(path, os.W_OK) and os.access(directory, os.W_OK)
    if not may_write and os.geteuid() != 0 and found.st_mode & 0o222 and not is_read_only:
        raise Why502Error(f"this user has no permission to change {path}", "Nothing was changed. Run it as root.")
    if is_read_only or not found.st_mode & 0o222 or not may_write:
        what = "lies on a read-only file system" if is_read_only else "is read-only"
        raise Why502Error(f"{path} {what}", "Nothing was changed. Make it writable, or make the change at its source.")


def _attribute(path: str) -> str:
    """Return what prevents changes of a file or directory even by root, as text (FS_IOC_GETFLAGS, ioctl_iflags(2)); "" if
    nothing does.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        flags = int.from_bytes(fcntl.ioctl(handle, _GET_FLAGS, bytes(8))[:4], sys.byteorder)
    except OSError:  # a file system without attributes
        return ""
    finally:
        os.close(handle)
    return next((words for flag, words in _ATTRIBUTES.items() if flags & flag), "")


def _is_bound(path: str) -> bool:
    """Return whether a file is a mount point of its own (proc_pid_mountinfo(5), field 5)."""
    name = path.encode().replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\t", b"\\011").replace(b"\n", b"\\012")
    try:
        return any(line.split(b" ", 5)[4] == name for line in Path("/proc/self/mountinfo").read_bytes().splitlines())
    except (OSError, IndexError):
        return False


def names_of(path: str) -> int:
    """Return the number of names (hard links) of a file; 1 if it cannot be read."""
    try:
        return os.stat(path).st_nlink
    except OSError:
        return 1


def temporary(path: str) -> str:
    """Return the temporary name, in the same directory, under which a file's new content is written.

    It starts with a dot, so that no include glob matches it.
    """
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}{SUFFIX}")


def replace(path: str, data: bytes, expected: str) -> None:
    """Replace a file's content; it keeps its owner, mode and extended attributes. `path` is not a link.

    `expected` is the digest of the present content, ABSENT for a new file. Raises Why502Error if the content differs.
    """
    new = temporary(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _write(handle, data)
            if expected == ABSENT:
                os.fchmod(handle, 0o644)
            else:
                _take_after(handle, path)
            os.fsync(handle)
        finally:
            os.close(handle)
        if digest_of(path) != expected:  # as late as possible
            raise Why502Error(f"{path} was changed concurrently", "Run the diagnosis again, then repeat it.")
        os.replace(new, path)
        sync_directory(os.path.dirname(path))
    except OSError as error:
        raise failure(path, error, "The file is unchanged.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(new)


def _take_after(handle: int, path: str) -> None:
    """Copy the owner, the attributes and the mode of one open file to another."""
    old = os.stat(path)
    os.fchown(handle, old.st_uid, old.st_gid)
    for name in os.listxattr(path):
        with contextlib.suppress(OSError):  # a label that only the kernel may set
            os.setxattr(handle, name, os.getxattr(path, name))
    os.fchmod(handle, stat.S_IMODE(old.st_mode))


def remove(path: str) -> None:
    """Remove a file that why502 created. Raises Why502Error."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            sync_directory(os.path.dirname(path))
    except OSError as error:
        raise failure(path, error, "Remove it manually.") from error


def keep(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file of why502 atomically. Raises Why502Error."""
    try:
        output.write(path, data, mode=mode)
    except Why502Error as error:
        raise Why502Error(error.message, "Free some space there, or give another directory with --state.") from error


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def sync_directory(path: str) -> None:
    """Make a rename in a directory durable (fsync(2) of the directory)."""
    handle = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
