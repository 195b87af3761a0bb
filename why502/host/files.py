"""Code shared by local files and unpacked directories: from descriptors and errno to the values and errors of Host."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import BinaryIO

from why502.host.base import Space, Stat
from why502.model.errors import Denied, HostError, Missing
from why502.model.file_kind import FileKind

# O_NONBLOCK: opening a FIFO must not wait for its other end. O_NOCTTY: a terminal must not become our controlling terminal.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LIST_LIMIT = 100_000  # maximum names per directory

_KINDS = {
    stat.S_IFREG: FileKind.FILE,
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFSOCK: FileKind.SOCKET,
    stat.S_IFLNK: FileKind.LINK,
}
_ACL = "system.posix_acl_access"
_ACL_TAGS = {0x01: "user", 0x02: "user", 0x04: "group", 0x08: "group", 0x10: "mask", 0x20: "other"}


def failure(error: OSError, path: str) -> HostError:
    """Return the HostError for an errno at `path`."""
    message = f"{path}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESRCH, errno.ENXIO):
        return Missing(message, errno=error.errno)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Denied(message, "run as root", errno=error.errno)
    return HostError(message, errno=error.errno)


def as_file(descriptor: int, path: str) -> BinaryIO:
    """Return the open regular file; for any other kind close the descriptor and raise HostError."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise HostError(f"{path}: is not a regular file but a {_kind_in_words(mode)}")
    return os.fdopen(descriptor, "rb")


def content(file: BinaryIO, limit_bytes: int) -> bytes:
    """Return at most `limit_bytes` of the rest of a file, even if its reported size is 0 (proc(5))."""
    with file:
        chunks: list[bytes] = []
        left = limit_bytes
        while left > 0 and (chunk := file.read(min(left, 1 << 18))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)


def as_kind(mode: int) -> tuple[FileKind, int]:
    """Return the kind of a file as in Stat, and its permission bits."""
    return _KINDS.get(stat.S_IFMT(mode), FileKind.OTHER), stat.S_IMODE(mode)


def as_stat(found: os.stat_result) -> Stat:
    """Return the Stat of a stat(2) result."""
    return Stat(
        kind=_KINDS.get(stat.S_IFMT(found.st_mode), FileKind.OTHER),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size_bytes=found.st_size,
        modified_s=found.st_mtime,
        inode=found.st_ino,
        device=found.st_dev,
    )


def as_space(found: os.statvfs_result) -> Space:
    """Return the Space of a statvfs(3) result. Free space is what an unprivileged process may use."""
    return Space(
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail if found.f_files else None,
        total_inodes=found.f_files or None,
        is_read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def access_list(where: str | int) -> tuple[str, ...]:
    """Return the POSIX ACL of a path or descriptor as text (see Host.acl). Raises OSError."""
    try:
        return parse_acl(os.getxattr(where, _ACL))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return ()
        raise


def parse_acl(value: bytes) -> tuple[str, ...]:
    """Return the entries of the attribute system.posix_acl_access (linux/posix_acl_xattr.h) as `getfacl -n` prints them."""
    entries = []
    for tag, permission, number in struct.iter_unpack("<HHI", value[4 : len(value) - (len(value) - 4) % 8]):
        who = str(number) if tag in (0x02, 0x08) else ""
        letters = "".join(letter if permission & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        entries.append(f"{_ACL_TAGS.get(tag, 'unknown')}:{who}:{letters}")
    return tuple(entries)


def _kind_in_words(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
