"""Run under its own systemd: the ledger names starts, ordered stops, ends and failures of units, each once, with its time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.host.local import LocalHost
from why502.watch.changes import ChangeRecorder
from why502.watch.model import Change

UNITS = Path("/run/systemd/system")
TEXT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c '{command}'\n{more}\n"
PATIENCE_S = 30.0


def systemctl(*argv: str) -> str:
    return subprocess.run(["systemctl", *argv], capture_output=True, text=True, check=False).stdout.strip()


def show(unit: str, name: str) -> str:
    return systemctl("show", "--value", f"--property={name}", unit)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def main() -> None:
    told: list[Change] = []
    recorder = ChangeRecorder(LocalHost(), told.append)

    def look() -> list[tuple[str, str, bool]]:
        told.clear()
        recorder.look(datetime.now(UTC))
        mine = [change for change in told if change.subject.startswith("why502-")]
        assert all(abs(datetime.now(UTC) - change.at) < timedelta(seconds=PATIENCE_S) for change in mine), mine
        return [(change.subject, change.detail, change.is_planned) for change in mine]

    units = {
        "why502-shop.service": ("sleep 1000", ""),
        "why502-again.service": ("sleep 1000", "Restart=always\nRestartSec=100ms"),
        "why502-done.service": ("sleep 1", ""),
        "why502-bad.service": ("sleep 1; exit 3", ""),
    }
    for unit, (command, more) in units.items():
        (UNITS / unit).write_text(TEXT.format(command=command, more=more))
    systemctl("daemon-reload")
    look()
    systemctl("start", "why502-shop.service", "why502-again.service")
    assert sorted(look()) == [("why502-again.service", "started", True), ("why502-shop.service", "started", True)], told
    assert look() == []
    systemctl("stop", "why502-shop.service")
    assert look() == [("why502-shop.service", "stopped", True)], told
    pid = show("why502-again.service", "MainPID")
    subprocess.run(["kill", "-KILL", pid], check=True)
    until(lambda: show("why502-again.service", "NRestarts") == "1" and show("why502-again.service", "ActiveState") == "active")
    assert look() == [("why502-again.service", "started", False)], told
    systemctl("start", "why502-done.service", "why502-bad.service")
    look()
    until(
        lambda: show("why502-done.service", "ActiveState") == "inactive" and show("why502-bad.service", "ActiveState") == "failed"
    )
    assert sorted(look()) == [
        ("why502-bad.service", "failed: exit-code", False),
        ("why502-done.service", "exited on its own", False),
    ], told
    sys.stdout.write("all told\n")


if __name__ == "__main__":
    main()
