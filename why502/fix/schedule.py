"""Expiry of a mitigation: a persistent systemd timer if systemd runs, otherwise a waiting process.

A transient timer (systemd-run) would be gone after a reboot, and the mitigation would stay for ever. Without systemd the waiting
process is gone as well: then the next `why502 fix` or `why502 mitigate` reverts what has expired.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.fix import commands, disk
from why502.fix.journal import Entry
from why502.model.errors import Why502Error

AGAIN_S = 300  # after a failed attempt
READY = "waiting"  # the waiting process writes this once it runs
READY_S = 30.0
UNITS = Path("/etc/systemd/system")
TIMER = """\
[Unit]
Description=why502: revert mitigation {id}

[Timer]
OnCalendar={at} UTC
OnUnitInactiveSec={again_s}
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
SERVICE = """\
[Unit]
Description=why502: revert mitigation {id}
After=network.target {unit}

[Service]
Type=oneshot
ExecStart={command}
"""


def has_systemd() -> bool:
    """Return whether systemd manages this machine (sd_booted(3)) and we are allowed to control it."""
    return Path("/run/systemd/system").is_dir() and os.geteuid() == 0 and os.access(UNITS, os.W_OK)


def begin(entry: Entry, where: Path) -> str:
    """Schedule the end of a mitigation; return what will revert it, as text. Raises Why502Error if nothing will."""
    argv = (sys.executable, "-m", "why502", "mitigate", "expire", "--state", str(where))
    if not has_systemd():
        return _begin_process(argv)
    try:
        return _begin_timer(argv, entry)
    except Why502Error as error:
        cancel(entry)
        return f"{_begin_process(argv)} (a timer was not possible: {error.message})"


def _begin_timer(argv: tuple[str, ...], entry: Entry) -> str:
    timer, service = _units(entry)
    now = datetime.now(UTC)
    # Timers have whole seconds: round up to the next one. A timer that is enabled after its time would never fire.
    at = f"{max(entry.reverts_at or now, now + timedelta(seconds=2)) + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}"
    quoted = " ".join(
        '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"' for word in argv
    )
    disk.keep(str(service), SERVICE.format(id=entry.id, command=quoted, unit=entry.unit).encode(), 0o644)
    disk.keep(str(timer), TIMER.format(id=entry.id, at=at, again_s=AGAIN_S).encode(), 0o644)
    for order in (("daemon-reload",), ("enable", "--now", timer.name)):
        commands.execute(("systemctl", *order), entry.master)
    return f"systemd's {timer.name}, also after a reboot"


def _begin_process(argv: tuple[str, ...]) -> str:
    """Start the waiting process; return once it runs. Raises Why502Error."""
    hint = "Without --for, revert it yourself: why502 mitigate undo."
    try:
        process = subprocess.Popen(
            (*argv, "--wait"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Why502Error(f"{argv[0]}: {(error.strerror or str(error)).lower()}", hint) from error
    assert process.stdout
    with process.stdout as answer, selectors.DefaultSelector() as ready:
        ready.register(answer, selectors.EVENT_READ)
        if not ready.select(READY_S) or answer.readline().strip() != READY.encode():
            process.kill()
            raise Why502Error("the process that would revert it at its time did not start", hint)
    return "a waiting process; after a reboot the next `why502 mitigate`"


def cancel(entry: Entry) -> None:
    """Remove the timer of a mitigation that has ended."""
    timer, service = _units(entry)
    if not timer.exists() and not service.exists():
        return
    with contextlib.suppress(Why502Error):
        commands.finish(("systemctl", "disable", "--now", timer.name))
    for path in (timer, service):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(Why502Error):
        commands.finish(("systemctl", "daemon-reload"))


def _units(entry: Entry) -> tuple[Path, Path]:
    return UNITS / f"why502-{entry.id}.timer", UNITS / f"why502-{entry.id}.service"
