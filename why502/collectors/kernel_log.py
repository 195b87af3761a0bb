"""The kernel log, from the journal, dmesg or /dev/kmsg."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from why502.host.base import Host
from why502.logs import stamps
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable, boot_time
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.supervisors.systemd import journal

TIMEOUT_S = 3.0
LINES = 5000
CLOCK = timedelta(seconds=1)  # maximum difference between the clocks of the kernel log and of processes
_SECONDS = lazy(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
Lines = list[tuple[datetime, str]]


def kernel_lines(host: Host, since: datetime, until: datetime) -> tuple[str, Lines]:
    """Return the source of the kernel's lines in the window, and the lines with their times (UTC). Raises HostError.

    A container sees the log of its host: messages older than its own first process are about another container.
    """
    born = _born(host)
    since = max(since, born - CLOCK) if born else since
    try:
        entries = journal.read(host, "_TRANSPORT=kernel", since=since, until=until, lines=LINES)
    except HostError:
        entries = ()
    if entries:
        return "journalctl -k", [(entry.at, entry.message) for entry in entries]
    return "dmesg", [(at, text) for at, text in _dmesg(host) if since <= at <= until + timedelta(seconds=1)]


def _born(host: Host) -> datetime | None:
    """Return the start time of process 1: the boot of this machine or container; None if it is not readable."""
    table = ProcessTable(host)
    init = attempt(partial(table.stat, 1))
    return table.started_at(init) if init else None


def _dmesg(host: Host) -> Lines:
    """Return the lines of the ring buffer. Raises HostError, also if there is none (a container)."""
    done = host.run("dmesg", "--time-format", "iso", timeout_s=TIMEOUT_S)
    if done.status == 0:
        return parse_iso(done.stdout)
    plain = host.run("dmesg", timeout_s=TIMEOUT_S)  # BusyBox has no format option
    if plain.status:
        reason = (plain.stderr.strip().splitlines() or ["dmesg failed"])[0]
        raise HostError(reason[:200], "run as root, outside of the container")
    boot = boot_time(host)
    return parse_seconds(plain.stdout, boot) if boot else []


def parse_iso(text: str) -> Lines:
    """Return the lines of `dmesg --time-format iso`."""
    found = []
    for line in text.splitlines()[-LINES:]:
        stamp, _, rest = line.partition(" ")
        at = stamps.find(stamp)
        if at is not None and at.tzinfo is not None:
            found.append((at, rest))
    return found


def parse_seconds(text: str, boot: datetime) -> Lines:
    """Return the lines of plain dmesg: `[   12.345678] message`, seconds since boot."""
    found = []
    for line in text.splitlines()[-LINES:]:
        head, closed, rest = line.partition("] ")
        number = head.lstrip("[").strip()
        if closed and head.startswith("[") and _SECONDS.fullmatch(number):
            found.append((boot + timedelta(seconds=float(number)), rest))
    return found
