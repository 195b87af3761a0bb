"""A unit that exceeded its own memory limit gets twice as much, if the machine has that; nothing changes what it did not set."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.index import Joins
from why502.model.logs import Symptom
from why502.model.remedy import Edit, Remedy, Run
from why502.model.service import Service
from why502.model.snapshot import Event, Pressure

MIB = 1 << 20
OF_GROUP = "Memory cgroup out of memory: Killed process 31 (puma) total-vm:448832kB, anon-rss:265124kB"
OF_MACHINE = "Out of memory: Killed process 31 (puma) total-vm:448832kB, anon-rss:265124kB"


def steps(**changes: object) -> list[str]:
    """Return the steps of the remedy that raises the limit, in words; [] if there is none."""
    found = [remedy for remedy in remedies(**changes) if "memory limit" in remedy.message]  # type: ignore[arg-type]
    return [_words(step) for remedy in found for step in remedy.steps]


def remedies(*, free: int = 900 * MIB, message: str = OF_GROUP, **changes: object) -> list[Remedy]:
    """Return the remedies for a unit of which a process was killed 30 s ago."""
    service = Service(
        manager="systemd",
        name="forum.service",
        is_running=True,
        targets=(APP,),
        argv=("/usr/bin/puma",),
        unit_file="/etc/systemd/system/forum.service",
        settings={"MemoryMax": str(260 * MIB), "Restart": "always"},
        start_argv=("systemctl", "start", "forum.service"),
    )
    killed = Event(
        at=NOW - timedelta(seconds=30), symptom=Symptom.OOM_KILLED, message=message, source="kernel", unit="forum.service"
    )
    here = machine(failing(Symptom.RESET_BEFORE_HEADER, APP, ago_s=30), routes=(route(APP, 7),))
    pressure = Pressure(memory_available_bytes=free)
    here = REPLACE(here, services=(REPLACE(service, **changes),), events=(killed,), pressure=(pressure,))
    case = Case(here=here, target=APP, offline=False, index=Joins(here))
    return list(CAUSES["backend-oom-killed"].remedies(case))


def _words(step: Edit | Run) -> str:
    return step.after if isinstance(step, Edit) else " ".join(step.argv)


def test_a_running_unit_gets_it_without_a_restart() -> None:
    change, *runs = steps()
    assert change == f"[Service]\nMemoryMax={520 * MIB}\n"
    assert runs == ["systemd-analyze verify --man=no /etc/systemd/system/forum.service", "systemctl daemon-reload"]


def test_the_restarts_of_a_unit_that_it_ended_are_forgotten() -> None:
    assert steps(is_running=False)[-2:] == ["systemctl reset-failed forum.service", "systemctl start forum.service"]


@pytest.mark.parametrize(
    "changes",
    [{"free": 400 * MIB}, {"message": OF_MACHINE}, {"settings": {"MemoryMax": "infinity"}}, {"settings": {}}],
)
def test_no_limit_of_its_own_or_no_memory_left(changes: dict[str, object]) -> None:
    assert steps(**changes) == []  # type: ignore[arg-type]


def test_systemd_itself_may_report_the_kill() -> None:
    assert steps(message=OF_MACHINE, oom_killed=True)


@pytest.mark.parametrize(("started_s", "offered"), [(-600, False), (-10, True), (None, False)])
def test_a_unit_that_only_lost_a_worker_is_not_to_be_restarted(started_s: int | None, *, offered: bool) -> None:
    started_at = NOW + timedelta(seconds=started_s) if started_s else None
    found = remedies(started_at=started_at, settings={"Restart": "no"})
    assert any("Restart=on-failure" in remedy.message for remedy in found) is offered
