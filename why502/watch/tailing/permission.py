"""Why a log cannot be read, with what a person needs to change it: the path, its mode, its owner, and who reads."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

_DENIED = os.strerror(errno.EACCES).lower()


def unreadable(path: str, reason: str) -> str:
    """Return the reason why a log cannot be read; for a denied one with the file or directory that denies it."""
    if reason != _DENIED:
        return f"{path}: {reason}"
    denying = _denying(Path(path))
    try:
        status = denying.stat()
    except OSError:
        return f"{path}: {reason} to user {_user(os.geteuid())}"
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return f"{denying}: {reason} to user {_user(os.geteuid())} (mode {mode}, {_user(status.st_uid)}:{_group(status.st_gid)})"


def _denying(path: Path) -> Path:
    """Return the first directory on the way to a path that may not be searched; the path itself if there is none."""
    for directory in reversed(path.parents):
        try:
            os.stat(directory / ".")  # noqa: PTH116 - pathlib drops the dot
        except OSError:
            return directory
    return path


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
