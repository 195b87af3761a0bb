"""Run under its own systemd: the unit of docs/serve.md reads the store of the watch's unit, with no more rights than that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

UNIT = "why502-serve.service"
WATCH = "why502-watch.service"
SYSTEM = Path("/etc/systemd/system")


def ctl(*argv: str) -> str:
    return subprocess.run(["systemctl", *argv], capture_output=True, text=True, check=False).stdout.strip()


def said() -> str:
    argv = ["journalctl", "-u", UNIT, "-u", WATCH, "-o", "cat", "--no-pager"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout[-3000:]


def answer() -> dict[str, object] | None:
    """Return the status; None as long as there is none."""
    try:
        with urlopen("http://127.0.0.1:8502/api/1/status", timeout=10) as response:
            found: dict[str, object] = json.load(response)
            return found
    except (URLError, OSError):
        return None


def main() -> None:
    for path in Path(sys.executable).resolve().parents:  # the root of this container goes with it, so it may be opened
        path.chmod(0o755)
    done = subprocess.run([sys.executable, "-m", "why502", "watch", "install"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program = f"{sys.executable} -m why502"
    (SYSTEM / UNIT).write_text(sys.argv[1].replace("/usr/local/bin/why502", program))
    for unit in (UNIT, WATCH):  # the program is where the tests have it, perhaps in a home directory
        drop_in = Path(f"/run/systemd/system/{unit}.d/test.conf")
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(f"[Service]\nProtectHome=read-only\nEnvironment=PYTHONPATH={os.environ['PYTHONPATH']}\n")
    ctl("daemon-reload")
    ctl("start", WATCH)  # returns when it is ready
    assert ctl("is-active", WATCH) == "active", said()
    ctl("start", UNIT)
    end = time.monotonic() + 60
    while (found := answer()) is None or found["newest_at"] is None:
        assert time.monotonic() < end, (found, ctl("status", UNIT), said())
        time.sleep(0.2)
    status = Path(f"/proc/{ctl('show', '-p', 'MainPID', '--value', UNIT)}/status").read_text()
    watching = Path(f"/proc/{ctl('show', '-p', 'MainPID', '--value', WATCH)}/status").read_text()
    users = [int(text.partition("Uid:")[2].split()[0]) for text in (status, watching)]
    assert users[0] == users[1] != 0, users
    assert status.partition("CapEff:")[2].split()[0] == "0" * 16
    ctl("stop", UNIT)
    assert ctl("show", "-p", "Result", "--value", UNIT) == "success", said()
    assert ctl("is-active", WATCH) == "active"
    print("read the store, without rights")


if __name__ == "__main__":
    main()
