"""Writing a file that the user named: whole or not at all, and not for other users to read."""

from __future__ import annotations

import os
from pathlib import Path

from why502.model.errors import Why502Error


def write(name: str, data: bytes) -> None:
    """Write a file; an older one of that name stays as it is until the new one is complete. Raises Why502Error."""
    path = Path(name)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        partial.replace(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise Why502Error(f"{name}: {reason.lower()}", "Name a file in a folder that you may write to.") from error
