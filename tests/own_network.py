"""A Python program in a network namespace of its own, for tests of what is seen from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def own_network(program: str) -> Iterator[tuple[int, int]]:
    """Yield the process of a program and the port that it prints first; it ends when its standard input does."""
    if os.geteuid() or not shutil.which("ip") or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        pytest.skip("needs root and network namespaces")
    inside = subprocess.Popen(
        ["unshare", "-n", sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield inside.pid, int(inside.stdout.readline())  # type: ignore[union-attr]
    finally:
        inside.communicate("")
