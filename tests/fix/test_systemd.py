"""Tests that need a real systemd: the end of a mitigation, and gateways run by systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from why502.lab import groups, machine
from why502.lab.isolation import can_isolate

pytestmark = [pytest.mark.machine, pytest.mark.timeout(180)]


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


def test_a_persistent_timer_ends_it() -> None:
    assert played(Path(__file__).with_name("in_machine.py")) == "both ended\n"


@pytest.mark.parametrize("product", ["haproxy", "apache"])
def test_another_gateway_is_repaired(product: str) -> None:
    program = {"haproxy": "haproxy", "apache": "apache2"}[product]
    if not shutil.which(program, path="/usr/sbin:/usr/bin"):
        pytest.skip(f"needs {program}")
    assert played(Path(__file__).with_name("in_machine_gateways.py"), product) == "repaired and undone\n"


def test_limits_of_drop_ins_are_in_force() -> None:
    assert played(Path(__file__).with_name("in_machine_limits.py")).startswith("limits applied; ")


@pytest.mark.parametrize("state", ["stopped", "masked", "disabled"])
def test_the_unit_of_a_target_is_started_unmasked_or_enabled(state: str) -> None:
    assert played(Path(__file__).with_name("in_machine_units.py"), state) == "repaired and undone\n"
