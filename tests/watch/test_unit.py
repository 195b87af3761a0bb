"""The shipped units, under a real systemd in a container."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from why502.lab import groups, machine
from why502.lab.isolation import can_isolate
from why502.watch import units

SCRIPT = Path(__file__).with_name("in_machine_watch.py")


@pytest.mark.machine
@pytest.mark.timeout(240)
@pytest.mark.parametrize("user", ["own", "root"])
def test_the_unit_runs_reloads_is_restarted_and_ends(user):
    if not can_isolate() or not shutil.which("systemd-nspawn"):
        pytest.skip("needs root and systemd-nspawn (Debian package systemd-container)")
    name = f"why502-test-{os.getpid()}"
    room = ["setpriv", "--pdeathsig", "KILL", *machine.NAMESPACES, sys.executable, "-m", machine.__name__, name]
    environment = {**os.environ, "TMPDIR": "/srv", "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}
    try:
        done = subprocess.run(
            [*room, sys.executable, str(SCRIPT), user], env=environment, capture_output=True, text=True, check=False, timeout=220
        )
    finally:
        groups.remove(name)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout
    assert done.stdout == "ran, reloaded, restarted, ended\n"


def test_words_of_a_command_are_quoted():
    text = units.texts(is_timer=False, settings='/etc/a b%"$.toml', program=("/opt/why502",))[units.SERVICE]
    assert 'ExecStart=/opt/why502 watch --settings "/etc/a b%%\\"$$.toml"\n' in text


def test_the_units_are_written_or_the_reason_said(tmp_path):
    from why502.model.errors import Why502Error

    done = units.install(tmp_path, is_timer=True, settings=None)
    assert {path.name for path in done.paths} == {units.ONCE, units.TIMER}
    assert done.commands == ("systemctl daemon-reload", f"systemctl enable --now {units.TIMER}")
    both = units.install(tmp_path, is_timer=False, mitigates=True, settings="/etc/x.toml")
    assert {path.name for path in both.paths} == {units.SERVICE, units.MITIGATE, units.MITIGATE_TIMER}
    assert both.commands[1] == f"systemctl enable --now {units.SERVICE} {units.MITIGATE_TIMER}"
    assert " watch mitigate --settings /etc/x.toml\n" in (tmp_path / units.MITIGATE).read_text()
    with pytest.raises(Why502Error, match="no such file or directory"):
        units.install(tmp_path / "none", is_timer=False, settings=None)


@pytest.mark.real
def test_systemd_finds_nothing_wrong_in_the_units(tmp_path):
    written = [
        path
        for is_timer in (True, False)
        for path in units.install(tmp_path, is_timer=is_timer, mitigates=True, settings=None).paths
    ]
    checked = subprocess.run(["systemd-analyze", "verify", *written], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert [line for line in checked.stderr.splitlines() if "why502" in line] == []
