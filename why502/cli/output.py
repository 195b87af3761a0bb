"""Writing a file that the user named: whole or not at all, and not for other users to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from why502.model.errors import Why502Error


def write(name: str, data: bytes) -> None:
    """Write a file; an older one of that name stays as it is until the new one is complete. Raises Why502Error.

    A device or a pipe (`/dev/null`, `/dev/stdout`, `/dev/fd/3`) is written to; whatever else stands there is replaced.
    """
    path = Path(name)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _is_stream(path):
            with open(name, "wb") as stream:
                stream.write(data)
            return
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        partial.replace(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise Why502Error(f"{name}: {reason.lower()}", "Name a file in a folder that you may write to.") from error


def _is_stream(path: Path) -> bool:
    """Return whether a path is a device, pipe or socket, or a link of the kernel's to an open file (proc_pid_fd(5)).

    Links elsewhere do not count: where others may write, one could lead root to any file.
    """
    if str(path.absolute()).startswith(("/dev/", "/proc/")):
        return path.exists() and not path.is_dir()
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))
