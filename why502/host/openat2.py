"""openat2(2), which Python lacks: opens a path only if it contains no symbolic link."""

from __future__ import annotations

import ctypes
import os

_NUMBER = 437  # on every architecture
_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 0x04


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def without_links(path: str, flags: int) -> int:
    """Return a descriptor. Raises OSError: ELOOP for a link on the way, ENOSYS from a kernel before 5.6.

    With O_PATH and O_NOFOLLOW a link at the end of the path is opened itself.
    """
    how = _How(flags, 0, _RESOLVE_NO_SYMLINKS)
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    number = _libc.syscall(_NUMBER, _AT_FDCWD, ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(number)
