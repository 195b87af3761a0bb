"""The state of systemd units that nothing serves any more, and since when they are stopped (systemctl(1), show)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.service import ENDED
from why502.model.times import whole_number
from why502.supervisors.systemd.manager import Unit, parse_show

STATE = ("Id", "ActiveState", "LoadState", "InactiveEnterTimestampMonotonic")
_DIGITS = 18  # of a number of microseconds


def units(host: Host, names: Iterable[str], properties: Iterable[str] = STATE, *, timeout_s: float) -> dict[str, Unit]:
    """Return the loaded units with these names or patterns, by their ids; none if systemd does not answer."""
    argv = ("systemctl", "show", "--all", "--no-pager", f"--property={','.join(properties)}", "--", *names)
    shown = attempt(partial(host.run, *argv, timeout_s=timeout_s))
    return {unit["Id"]: unit for unit in parse_show(shown.stdout)} if shown else {}


def state_of(unit: Unit) -> str:
    """Return systemd's ActiveState; "masked" for a unit that is stopped and cannot be started."""
    state = unit.get("ActiveState", "")
    return "masked" if state in ENDED and unit.get("LoadState") == "masked" else state


def stopped_at_micros(unit: Unit) -> int:
    """Return when a unit stopped, in microseconds since the boot; 0 if it never ran since."""
    return whole_number(unit.get("InactiveEnterTimestampMonotonic", ""), _DIGITS) or 0


def stopped_at(unit: Unit, boot: datetime | None) -> datetime | None:
    """Return when a unit stopped; None if it never ran since the boot, or if the time of the boot is unknown."""
    micros = stopped_at_micros(unit)
    return boot + timedelta(microseconds=micros) if boot and micros else None
