"""Stopped units of the same application: workers that do, in the background, what its requests wait for.

A queue's consumer (Celery, RQ, Sidekiq, `artisan queue:work`) listens nowhere, and nothing is connected to it. The application's
user or directory links its unit to the application.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial

from why502.collectors.owners import owners
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import boot_time
from why502.model.process import Process
from why502.model.service import ENDED
from why502.model.snapshot import Dependency, Snapshot
from why502.model.target import Target
from why502.model.times import whole_number
from why502.supervisors.systemd import units as systemd
from why502.supervisors.systemd.manager import Unit, described

ASKED = (
    "Id ActiveState LoadState Type User WorkingDirectory ExecStart TriggeredBy UnitFileState InactiveEnterTimestampMonotonic"
).split()
MOST = 4  # per target
TIMEOUT_S = 1.0
# Users that run more than one application on many machines.
_SHARED = frozenset(("", *"root www-data nobody daemon apache nginx http nginx-user".split()))
_ENABLED = frozenset({"enabled", "enabled-runtime", "masked", "masked-runtime"})


def idle_units(host: Host, known: Snapshot, failing: Iterable[Target], stops: dict[str, datetime]) -> Iterator[Dependency]:
    """Yield the stopped units that belong to the application of a failing target. `stops`: when services ended in the window."""
    processes = {process.pid: process for process in known.processes or ()}
    mine = {
        target: [processes[pid] for pid in pids if pid in processes and not processes[pid].is_init]
        for target, pids in owners(known).items()
    }
    taken = {process.unit for found in mine.values() for process in found}
    units = systemd.units(host, ("*.service", *stops), ASKED, timeout_s=TIMEOUT_S)
    idle = {name: unit for name, unit in units.items() if name not in taken and _is_worker(unit, name in stops)}
    boot = boot_time(host) if idle else None
    uids = {name: _uid(host, name) for name, unit in idle.items() if not unit.get("ExecStart")}
    for target in failing:
        found = 0
        for name, unit in idle.items():
            since = stops.get(name) or systemd.stopped_at(unit, boot)
            shares = next((how for one in mine.get(target, ()) if (how := _shares(one, units, unit, uids.get(name)))), "")
            if shares and found < MOST:
                found += 1
                state = systemd.state_of(unit)
                peer = Target(host=name)
                yield Dependency(target=target, peer=peer, unit=name, unit_state=state, unit_since=since, shares=shares)


def _is_worker(unit: Unit, was_stopped: bool) -> bool:
    """Return whether a unit is stopped that should run: not one that ends by itself, or that something else starts."""
    if unit.get("ActiveState") not in ENDED or unit.get("Type") == "oneshot" or unit.get("TriggeredBy"):
        return False
    return was_stopped or unit.get("ActiveState") == "failed" or unit.get("UnitFileState") in _ENABLED


def _shares(process: Process, units: dict[str, Unit], unit: Unit, uid: int | None) -> str:
    """Return what a unit has in common with an application's process: "has the same user (shop)"; "" if nothing, or if it is
    another instance of the same program.
    """
    own, other = described(units.get(process.unit, {})), described(unit)
    argv = own.argv or process.argv
    if other.argv and _program(argv) == _program(other.argv):
        return ""
    user = unit.get("User", "")
    if process.user not in _SHARED and (user == process.user or (uid is not None and uid == process.uid)):
        return f"has the same user ({process.user})"
    directory = own.cwd or process.cwd
    if directory.count("/") > 1 and (other.cwd == directory or any(word.startswith(f"{directory}/") for word in other.argv)):
        return f"belongs to the same directory ({directory})"
    return ""


def _program(argv: Iterable[str]) -> frozenset[str]:
    """Return the file names and other words of a command without options and numbers: instances of one program have the same."""
    words = (posixpath.basename(word).translate(_NO_DIGITS) for word in argv if not word.startswith("-"))
    return frozenset(word for word in words if word.strip(".:/"))


_NO_DIGITS = str.maketrans("", "", "0123456789")


def _uid(host: Host, unit: str) -> int | None:
    """Return the user who last logged for a unit whose file is gone, as the journal has it; None if unknown."""
    argv = ("journalctl", "-q", "--no-pager", "-o", "json", "--output-fields=_UID", "-n", "1", f"_SYSTEMD_UNIT={unit}")
    shown = attempt(partial(host.run, *argv, timeout_s=TIMEOUT_S / 2))
    try:
        return whole_number(str(json.loads((shown.stdout if shown else "").strip() or "{}").get("_UID")))
    except ValueError:
        return None
