"""Run under its own systemd: a persistent timer ends a mitigation, even if its time passed while the machine was off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shop import Shop, shop

UNITS = Path("/etc/systemd/system")


def why502(here: Shop, *argv: str) -> str:
    own = ("--config", str(here.config), "--yes") if argv[0] != "list" else ()
    done = subprocess.run(
        [sys.executable, "-m", "why502", "mitigate", *argv, *own, "--state", str(here.state)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout + done.stderr


def until(condition: Callable[[], object], message: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, (
            message,
            list(UNITS.rglob("why502-2*")),
            subprocess.run(["journalctl", "-n", "40", "--no-pager"], check=False, capture_output=True, text=True).stdout,
        )
        time.sleep(0.1)


def main() -> None:
    # The services of the timers get the environment of our process, so that they run the tested code.
    subprocess.run(["systemctl", "set-environment", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"], check=True)
    with shop() as here:
        text = here.site.read_bytes()
        for is_off in (False, True):
            said = why502(here, "timeout", "/well/", "90", "--for", f"{20 if is_off else 1}s")
            assert "also after a reboot" in said, said
            (timer,) = UNITS.glob("why502-*.timer")
            (service,) = UNITS.glob("why502-*.service")
            assert (UNITS / "timers.target.wants" / timer.name).is_symlink()
            checked = subprocess.run(
                ["systemd-analyze", "verify", str(timer), str(service)], capture_output=True, text=True, check=False
            )
            assert "why502-" not in checked.stderr, checked.stderr
            if is_off:
                subprocess.run(["systemctl", "stop", timer.name], check=True)
                at = json.loads(why502(here, "list", "--format", "json"))["mitigations"][0]["reverts_at"]
                until(lambda at=at: datetime.now(UTC) > datetime.fromisoformat(at) + timedelta(seconds=2), "its time passes")
                assert b"90s" in here.site.read_bytes()
                subprocess.run(["systemctl", "start", timer.name], check=True)
            until(lambda: here.site.read_bytes() == text, "it ends")
            until(lambda: not list(UNITS.glob("why502-2*")), "its units are removed")
            assert "No mitigation is active" in why502(here, "list")
        print("both ended")


if __name__ == "__main__":
    main()
