"""The journals of the units that users' own managers run (`systemd --user`, systemd.unit(5)), for targets that they serve.

The messages of such a unit stand in the system's journal under the user's manager, user@UID.service, with the unit's name in a
field of its own (systemd.journal-fields(7)). The manager itself is not asked: that is its user's to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from why502.collectors import owners
from why502.host.base import Host
from why502.logs.detect import parse_any
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.supervisors.systemd import journal

MANAGERS = 16  # users' managers whose journals are read
LINES = 2000
EARLIER = timedelta(hours=24)  # before the window: a unit that has ended may have logged then where it listened
_MANAGER = lazy(r"/(user@\d{1,10}\.service)/")
_UNIT = lazy(r"/(user@\d{1,10}\.service)/(?:[^/]{1,255}/){0,16}([^/]{1,255}\.service)(?:/|$)")


def entries(host: Host, known: Snapshot, since: datetime, until: datetime) -> Iterator[tuple[journal.Entry, Target]]:
    """Yield the entries about and of the users' units that serve a target, with that target, in order of time.

    A target without a listener belongs to the unit that logged that it listens there. Raises HostError.
    """
    listening = owners.owners(known)
    silent = {target for target in owners.wanted(known) if not listening.get(target) and (target.is_loopback or target.is_unix)}
    cgroups = {process.pid: process.cgroup for process in known.processes or ()}
    serves = {
        (match[1], match[2]): target
        for target, pids in listening.items()
        for pid in pids
        if (match := _UNIT.search(cgroups.get(pid, "")))
    }
    managers = {match[1] for cgroup in cgroups.values() if (match := _MANAGER.search(cgroup))} if silent else set()
    names = sorted({manager for manager, _ in serves} | managers)[:MANAGERS]
    if not names:
        return
    matches = (f"_SYSTEMD_UNIT={name}" for name in names)
    found = journal.read(host, *matches, since=since - EARLIER if silent else since, until=until, lines=LINES)
    for entry in found if silent else ():
        if (target := _listened_on(entry, silent)) is not None:
            serves.setdefault((entry.unit, entry.user_unit), target)
    for entry in found:
        if entry.user_unit and (target := serves.get((entry.unit, entry.user_unit))) is not None:
            yield entry, target


def _listened_on(entry: journal.Entry, silent: set[Target]) -> Target | None:
    """Return the target without a listener on which a unit logged that it listens; None if the entry is about something else."""
    record = parse_any(entry.message) if entry.user_unit else None
    if record is None or record.symptom is not Symptom.LISTENS_ON or record.target is None:
        return None
    return next((one for one in silent if one == record.target or (one.port and one.port == record.target.port)), None)
