"""Entries of the systemd journal (`journalctl -o json`, systemd.journal-fields(7))."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from why502.host.base import Host
from why502.model import foreign_json
from why502.model.errors import HostError
from why502.model.times import of_epoch, whole_number

TIMEOUT_S = 3.0
_FIELDS = (
    "MESSAGE,_PID,UNIT,_SYSTEMD_UNIT,COREDUMP_UNIT,COREDUMP_PID,COREDUMP_COMM,SYSLOG_IDENTIFIER,_TRANSPORT,_COMM,"
    "_SYSTEMD_CGROUP,PRIORITY,USER_UNIT,_SYSTEMD_USER_UNIT"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry. `unit` is the unit it is about, or that wrote it; `transport`: journal, stdout, syslog, kernel, audit.

    `user_unit`: the same below a user's own manager, which `unit` is then.
    """

    at: datetime
    message: str
    unit: str = ""
    pid: int | None = None
    identifier: str = ""
    transport: str = ""
    cgroup: str = ""
    user_unit: str = ""


def read(host: Host, *match: str, since: datetime | None, until: datetime | None = None, lines: int = 500) -> tuple[Entry, ...]:
    """Return the newest entries that match (`-u`, `app.service`, `_TRANSPORT=kernel`), oldest first. Raises HostError.

    With --since, journalctl of systemd 252 shows the oldest lines instead of the newest, unless they are asked for in reverse.
    """
    argv = ["journalctl", "-o", "json", "-q", "--no-pager", f"--output-fields={_FIELDS}", "--reverse", "-n", str(lines)]
    if since is not None:
        argv.append(f"--since=@{since.timestamp():.0f}")
    if until is not None:
        argv.append(f"--until=@{until.timestamp() + 1:.0f}")
    done = host.run(*argv, *match, timeout_s=TIMEOUT_S)
    if done.status and not done.stdout:
        reason = done.stderr.strip().splitlines()
        if reason and "No journal files" not in reason[0]:
            raise HostError(f"journalctl: {reason[0][:200]}", "run as root, or as a member of the group systemd-journal")
    return parse(done.stdout)[::-1]


def of_units(
    host: Host, names: Sequence[str], since: datetime | None, until: datetime | None = None, *, lines: int
) -> tuple[Entry, ...]:
    """Return the newest entries about and of these units, in order of time. Raises HostError.

    Each unit has its own share of the lines, so one with many lines does not crowd out the others.
    """
    found = read(host, *(word for name in names for word in ("-u", name)), since=since, until=until, lines=lines)
    share = lines // max(1, len(names))
    counts = Counter(entry.unit for entry in found)
    if len(found) < lines or len(names) == 1:
        return found
    began = monotonic()
    kept = {name: [entry for entry in found if entry.unit == name][-max(share, 1) :] for name in names}
    for name in names:
        if counts[name] < share and monotonic() - began < TIMEOUT_S:
            kept[name] = list(read(host, "-u", name, since=since, until=until, lines=share))
    return tuple(sorted((entry for each in kept.values() for entry in each), key=lambda entry: entry.at))


def parse(text: str) -> tuple[Entry, ...]:
    """Return the entries of journalctl's JSON lines, in order; malformed lines are left out."""
    found = []
    for line in text.split("\n"):
        try:
            given: dict[str, Any] = foreign_json.decode(line)
            at = of_epoch(int(given["__REALTIME_TIMESTAMP"]) / 1e6)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if at is None:
            continue
        message = _text(given.get("MESSAGE"))
        unit = _text(given.get("COREDUMP_UNIT") or given.get("UNIT") or given.get("_SYSTEMD_UNIT"))
        pid = _text(given.get("COREDUMP_PID") or given.get("_PID"))
        found.append(
            Entry(
                at=at,
                message=message,
                unit=unit,
                pid=whole_number(pid, 10),
                identifier=_text(given.get("SYSLOG_IDENTIFIER")),
                transport=_text(given.get("_TRANSPORT")),
                cgroup=_text(given.get("_SYSTEMD_CGROUP")),
                user_unit=_text(given.get("USER_UNIT") or given.get("_SYSTEMD_USER_UNIT")),
            )
        )
    return tuple(found)


def _text(value: Any) -> str:
    """Return a field: text, or a list of byte values if it was not UTF-8; of several values the first counts."""
    if isinstance(value, list):
        if value and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
            return bytes(value).decode("utf-8", "replace")
        return _text(value[0]) if value else ""
    return value if isinstance(value, str) else ""
