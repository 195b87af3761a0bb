"""Namespaces of its own for a scene (namespaces(7)): whether this user may have them, and the command that makes them."""

from __future__ import annotations

import os
import subprocess
from functools import cache

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@cache
def can_isolate() -> bool:
    """Return whether this user may make namespaces: as root, where no container forbids it."""
    try:
        return (
            os.geteuid() == 0
            and subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False, timeout=10).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
