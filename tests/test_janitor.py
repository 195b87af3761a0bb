"""Processes started by the tests end with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from asking import ROOT

pytestmark = pytest.mark.real
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    kept = open(sys.argv[1] + "/log", "w")
    os.chdir("/")
    print(os.getpid(), flush=True)
    os.closerange(0, 3)
    time.sleep(600)
"""


def test_a_daemon_is_found_by_what_it_has_open_and_killed(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    started = subprocess.run([sys.executable, "-c", DAEMON, str(directory)], capture_output=True, text=True, check=True)
    pid = int(started.stdout)
    program = [sys.executable, str(ROOT / "tests" / "janitor.py")]
    done = subprocess.run(program, input=f"{directory}\n", capture_output=True, text=True, check=False)
    assert (done.returncode, f"left behind by the tests: {pid} " in done.stderr) == (1, True), done.stderr
    assert not Path(f"/proc/{pid}/cwd").exists()
    assert not directory.exists()
    assert subprocess.run(program, input=f"{directory}\n", text=True, check=False).returncode == 0
