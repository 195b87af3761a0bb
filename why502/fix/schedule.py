"""Expiry of a mitigation: a persistent systemd timer if systemd runs, otherwise a waiting process.

A transient timer (systemd-run) would be gone after a reboot, and the lever would stay for ever. Where no systemd is, the waiting
process is gone as well: then the next `why502 fix` or `why502 mitigate` takes back what is over.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from why502.fix import commands, disk
from why502.fix.journal import Entry
from why502.model.errors import Why502Error

UNITS = Path("/etc/systemd/system")
TIMER = """\
[Unit]
Description=why502: revert mitigation {id}

[Timer]
OnCalendar={at} UTC
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
SERVICE = """\
[Unit]
Description=why502: revert mitigation {id}

[Service]
Type=oneshot
ExecStart={command}
"""


def has_systemd() -> bool:
    """Return whether systemd manages this machine (sd_booted(3)) and we may tell it what to do."""
    return Path("/run/systemd/system").is_dir() and os.geteuid() == 0 and os.access(UNITS, os.W_OK)


def begin(entry: Entry, where: Path, now: datetime) -> str:
    """Schedule the end of a mitigation; return who will revert it, as text. Raises Why502Error."""
    argv = (sys.executable, "-m", "why502", "mitigate", "expire", "--state", str(where))
    if has_systemd():
        timer, service = _units(entry)
        # Timers have whole seconds: the next one after the end. One that lies in the past when it is enabled would never come.
        at = f"{max(entry.reverts_at or now, now + timedelta(seconds=2)) + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}"
        quoted = " ".join(
            '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"' for word in argv
        )
        disk.keep(str(service), SERVICE.format(id=entry.id, command=quoted).encode(), 0o644)
        disk.keep(str(timer), TIMER.format(id=entry.id, at=at).encode(), 0o644)
        try:
            for order in (("daemon-reload",), ("enable", "--now", timer.name)):
                commands.execute(("systemctl", *order), entry.master)
        except Why502Error:
            cancel(entry)
            raise
        return f"systemd's {timer.name}, also after a reboot"
    subprocess.Popen(
        (*argv, "--wait"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
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
