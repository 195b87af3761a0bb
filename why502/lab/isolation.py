"""The isolation that this machine offers for scenes: its own namespaces (namespaces(7)), and programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def program(name: str) -> str:
    """Return the path of a program: of our own environment, of the machine, or of what scripts/setup put beside; "" without."""
    places = (f"{sys.prefix}/bin", os.environ.get("PATH", ""), "/usr/sbin", "/sbin", f"{sys.prefix}/lib/pm2/node_modules/.bin")
    return shutil.which(name, path=":".join(places)) or ""
