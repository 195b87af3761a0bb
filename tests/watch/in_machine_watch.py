"""Run under its own systemd: the unit that `why502 watch install` writes runs, reloads, is restarted when it hangs, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from why502.lab.stage import Stage

UNIT = "why502-watch.service"
DROP_IN = Path(f"/run/systemd/system/{UNIT}.d/test.conf")


def ctl(*argv: str) -> str:
    done = subprocess.run(["systemctl", *argv], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def said() -> str:
    argv = ["journalctl", "-u", UNIT, "-o", "cat", "--no-pager"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def until(condition: Callable[[], object], message: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, (message, ctl("status", UNIT), said()[-3000:])
        time.sleep(0.1)


def main_pid() -> int:
    return int(ctl("show", "-p", "MainPID", "--value", UNIT))


def why502(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "why502", *argv], capture_output=True, text=True, check=False)


def main() -> None:
    stage = Stage(Path(tempfile.mkdtemp(dir="/srv")), is_isolated=False)
    stage.root.chmod(0o755)
    settings = Path("/etc/why502/watch.toml")
    settings.parent.mkdir(exist_ok=True)
    settings.write_text('[metrics]\nlisten = ""\n[gateways]\nevery_s = 0.5\n')
    is_own = sys.argv[1] == "own"
    # The root of this container goes with it, so it may be opened for others, or closed.
    for path in Path(sys.executable).resolve().parents if is_own else [Path("/root")]:
        path.chmod(0o755 if is_own else 0o700)
    if not is_own and not str(Path(sys.executable).resolve()).startswith("/root/"):
        Path(sys.executable).resolve().parent.chmod(0o700)
    try:
        stage.nginx.start(f"proxy_pass http://127.0.0.1:{stage.port(3001)};")
        done = why502("watch", "install")
        assert done.returncode == 0, done.stderr
        assert f"systemctl enable --now {UNIT}" in done.stdout
        verified = subprocess.run(
            ["systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}"], capture_output=True, text=True, check=False
        )
        assert "why502" not in verified.stderr, verified.stderr
        # The program is where the tests have it; the time of the watchdog is one that a test can wait for.
        DROP_IN.parent.mkdir(parents=True)
        DROP_IN.write_text(f"[Service]\nWatchdogSec=4\nEnvironment=PYTHONPATH={os.environ['PYTHONPATH']}\n")
        ctl("daemon-reload")
        ctl("enable", UNIT)
        ctl("start", UNIT)  # returns when it is ready
        assert ctl("is-active", UNIT) == "active", said()
        assert "nginx" in ctl("show", "-p", "StatusText", "--value", UNIT)
        pid = main_pid()
        status = Path(f"/proc/{pid}/status").read_text()
        assert (int(status.partition("Uid:")[2].split()[0]) != 0) == is_own
        assert status.partition("CapBnd:")[2].split()[0] == f"{1 << 2 | 1 << 19:016x}"  # CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE
        for _ in range(8):
            stage.send("/")
        until(lambda: " opened " in said(), "it opens an incident")
        assert "127.0.0.1" in said()
        ctl("reload", UNIT)
        until(lambda: "settings reloaded" in said(), "it reads its settings again")
        settings.write_text("[checks]\nrise = 0\n")
        ctl("reload", UNIT)
        until(lambda: "/etc/why502/watch.toml:1: checks" in said(), "it refuses bad ones")
        assert main_pid() == pid
        settings.write_text("")
        os.kill(pid, signal.SIGSTOP)  # it hangs
        until(lambda: main_pid() not in (0, pid), "systemd restarts it")
        until(lambda: ctl("is-active", UNIT) == "active", "it is ready again")
        assert said().count(" opened ") == 1
        began = time.monotonic()
        ctl("stop", UNIT)
        assert time.monotonic() - began < 10
        assert ctl("show", "-p", "Result", "--value", UNIT) == "success"
        settings.write_text("[chekcs]\n")
        ctl("start", UNIT)
        until(lambda: ctl("is-failed", UNIT) == "failed", "bad settings are not tried again and again")
        assert int(ctl("show", "-p", "NRestarts", "--value", UNIT)) <= 1
        settings.write_text('[metrics]\nlisten = ""\n')
        done = why502("watch", "install", "--timer")
        assert done.returncode == 0, done.stderr
        once = Path("/run/systemd/system/why502-watch-once.service.d/test.conf")
        once.parent.mkdir(parents=True)
        once.write_text(f"[Service]\nEnvironment=PYTHONPATH={os.environ['PYTHONPATH']}\nSuccessExitStatus=1\n")
        ctl("daemon-reload")
        ctl("start", "why502-watch-once.service")
        assert ctl("show", "-p", "Result", "--value", "why502-watch-once.service") == "success"
    finally:
        stage.close()
    print("ran, reloaded, restarted, ended")


if __name__ == "__main__":
    main()
