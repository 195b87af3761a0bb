"""scripts/setup waits for the package manager's lock and names its holder."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "scripts/package-lock.sh"
HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


def _stub(directory: Path) -> dict[str, str]:
    """Return an environment with an apt-get that only records its arguments."""
    apt = directory / "apt-get"
    apt.write_text('#!/bin/sh\necho "apt-get $*"\n')
    apt.chmod(0o755)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


def test_it_waits_for_the_lock_and_names_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock-frontend"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin and holder.stdout and holder.stdout.readline() == "held\n"
        script = f". {LOCK}; LOCKS='{lock}'; locked_apt_get install -y nginx"
        with subprocess.Popen(
            ["bash", "-euc", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_stub(tmp_path)
        ) as waiting:
            assert waiting.stderr and waiting.stdout
            said = waiting.stderr.readline()
            assert said.startswith(f"why502: waiting for the package manager: process {holder.pid} (")
            assert f"holds {lock}" in said
            assert waiting.poll() is None
            holder.stdin.close()
            assert waiting.stdout.read() == "apt-get -q -o DPkg::Lock::Timeout=900 install -y nginx\n"
            assert waiting.wait() == 0


def test_a_lock_that_is_never_released_ends_the_wait(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        script = f". {LOCK}; LOCKS='{tmp_path}/lock'; locked_apt_get update"
        environment = {**_stub(tmp_path), "LOCK_S": "1"}
        done = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"process {os.getpid()} still holds {tmp_path}/lock after 1 s" in done.stderr


def test_without_a_lock_it_prints_nothing(tmp_path: Path) -> None:
    script = f". {LOCK}; LOCKS='{tmp_path}/none'; locked_apt_get update"
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, env=_stub(tmp_path), timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("apt-get -q -o DPkg::Lock::Timeout=900 update\n", "")
