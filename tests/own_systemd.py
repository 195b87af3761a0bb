"""Runs a script of a test under its own systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from why502.lab import groups, machine
from why502.lab.isolation import can_isolate


def played(script: Path, *argv: str) -> str:
    """Run a script under its own systemd; return its output. Skips if that is impossible."""
    if not can_isolate() or not shutil.which("systemd-nspawn") or not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        pytest.skip("needs root, nginx and systemd-nspawn (Debian package systemd-container)")
    name = f"why502-test-{os.getpid()}"
    room = ["setpriv", "--pdeathsig", "KILL", *machine.NAMESPACES, sys.executable, "-m", machine.__name__, name]
    # A timer pulls in the rest of a boot, which empties /tmp (systemd-tmpfiles-setup.service).
    environment = {**os.environ, "TMPDIR": "/srv", "PYTHONPATH": os.pathsep.join([str(script.parent), *filter(None, sys.path)])}
    try:
        done = subprocess.run(
            [*room, sys.executable, str(script), *argv], env=environment, capture_output=True, text=True, check=False
        )
    finally:
        groups.remove(name)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    return done.stdout
