"""Which units of systemd started or stopped since an earlier look, and whether somebody ordered it.

The links in /run/systemd/units name the invocation of each unit that runs: reading them costs systemd nothing. Only for units
whose invocation changed, systemd is asked. (systemd.exec(5), $INVOCATION_ID; unit_export_invocation_id in src/core/unit.c)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import boot_time
from why502.model.times import whole_number
from why502.supervisors.systemd import journal
from why502.supervisors.systemd.manager import parse_show

INVOCATIONS = "/run/systemd/units"
_LINK = "invocation:"
_ASKED = (
    "Id,ActiveState,Result,MainPID,NRestarts,FragmentPath,DropInPaths,Type,ExecMainStartTimestampMonotonic,"
    "ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,ExecMainExitTimestampMonotonic"
)
MOST_UNITS = 50
TIMEOUT_S = 3.0
JUST = timedelta(seconds=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitChange:
    """One start or end of a unit. `result` is systemd's: success, exit-code, signal, oom-kill, timeout…"""

    unit: str
    at: datetime
    is_start: bool
    is_ordered: bool
    result: str = ""
    pid: int = 0
    files: tuple[str, ...] = ()


def invocations(host: Host) -> dict[str, str]:
    """Return the invocation of each running service. Raises HostError."""
    names = [name for name in host.list(INVOCATIONS) if name.startswith(_LINK) and name.endswith(".service")]
    links = host.link_all([f"{INVOCATIONS}/{name}" for name in names])
    return {name.removeprefix(_LINK): link for name, link in zip(names, links, strict=True) if link}


def changes(host: Host, before: Mapping[str, str], after: Mapping[str, str], now: datetime) -> tuple[UnitChange, ...]:
    """Return what happened to the units whose invocation is another one. Raises HostError."""
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))[:MOST_UNITS]
    if not names:
        return ()
    done = host.run("systemctl", "show", f"--property={_ASKED}", "--", *names, timeout_s=TIMEOUT_S)
    boot = boot_time(host)
    return tuple(sorted(_of_units(host, done.stdout, boot, now), key=lambda change: change.at)) if boot else ()


def _of_units(host: Host, text: str, boot: datetime, now: datetime) -> Iterator[UnitChange]:
    for unit in parse_show(text):
        if unit.get("Type") == "oneshot":
            continue
        is_start = unit.get("ActiveState") in ("active", "activating", "reloading")
        names = (
            ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
            if is_start
            else ("InactiveEnterTimestampMonotonic", "ExecMainExitTimestampMonotonic")
        )
        at = next((boot + timedelta(microseconds=number) for name in names if (number := whole_number(unit.get(name)))), now)
        files = (unit.get("FragmentPath", ""), *unit.get("DropInPaths", "").split())
        yield UnitChange(
            unit=unit["Id"],
            at=at,
            is_start=is_start,
            is_ordered=_is_ordered(host, unit, at, is_start=is_start),
            result="" if is_start else unit.get("Result", ""),
            pid=whole_number(unit.get("MainPID")) or 0,
            files=tuple(file for file in files if file),
        )


def _is_ordered(host: Host, unit: Mapping[str, str], at: datetime, *, is_start: bool) -> bool:
    """Return whether somebody ordered a start or a stop: systemd did not restart the unit by itself, or stopped it itself."""
    if is_start:
        return unit.get("NRestarts", "0") == "0"
    if unit.get("Result") != "success":
        return False
    entries = attempt(partial(journal.read, host, "-u", unit["Id"], since=at - JUST, until=at + JUST, lines=50)) or ()
    return _tells_of_an_order(entry.message for entry in entries if entry.identifier == "systemd")


def _tells_of_an_order(messages: Iterable[str]) -> bool:
    """Return whether systemd logged that it stopped a unit. One that ends by itself is only "deactivated"."""
    return any(message.startswith("Stopping ") for message in messages)
