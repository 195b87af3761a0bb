"""A restart loop gets the same answer at every point of its cycle."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from sampled import sampled
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Snapshot

UNIT = "shop.service"
ROUND_S = 3.0  # RestartSec=1, then two seconds until it dies again
ROUNDS = 12
# Seconds within a cycle: it dies at 0, is started again at 1.0, listens from 1.3 on, and dies at 3.0.
PHASES = (0.0, 0.4, 0.9, 1.0, 1.1, 1.3, 1.5, 1.8, 2.4, 2.9)


def looked_at(phase_s: float) -> Snapshot:
    """Return the machine this long after a death: the state that systemd, the journal, `ss` and our probe show then."""
    died = NOW - timedelta(seconds=phase_s)
    deaths = [died - timedelta(seconds=ROUND_S * back) for back in range(ROUNDS)]
    is_up, listens = phase_s >= 1.0, phase_s >= 1.3
    events = tuple(event for at in reversed(deaths) for event in _round(at))
    service = Service(
        manager="systemd",
        name=UNIT,
        is_running=is_up,
        main_pid=40 if is_up else None,
        restarts=ROUNDS - (0 if is_up else 1),
        targets=(APP,),
    )
    here = machine(failing(Symptom.CONNECT_REFUSED, APP, 40, ago_s=1), routes=(route(APP, 7),))
    process = Process(pid=40, name="python3", unit=UNIT, started_at=died + timedelta(seconds=1.0))
    return REPLACE(
        here,
        processes=(*(here.processes or ()), *((process,) if is_up else ())),
        listeners=(*(here.listeners or ()), *((Listener(target=APP, pids=(40,)),) if listens else ())),
        services=(service,),
        events=events,
        probes=(
            Probe(
                target=APP,
                protocol="http",
                symptom=None if listens else Symptom.CONNECT_REFUSED,
                status=200 if listens else None,
                at=NOW,
            ),
        ),
    )


def _round(died: datetime) -> tuple[Event, ...]:
    """Return the journal of one death and the start after it, up to the time of the diagnosis."""
    told = (
        (Symptom.PROCESS_EXITED, 0.0, f"{UNIT}: Main process exited, code=exited, status=1/FAILURE"),
        (Symptom.RESTART_LOOP, 0.9, f"{UNIT}: Scheduled restart job, restart counter is at 7."),
        (Symptom.PROCESS_STARTED, 1.0, f"Started {UNIT}."),
    )
    return tuple(
        Event(
            symptom=symptom, at=died + timedelta(seconds=after), message=message, detail=message, source="journalctl", unit=UNIT
        )
        for symptom, after, message in told
        if died + timedelta(seconds=after) <= NOW
    )


def test_every_phase_of_a_round_has_one_answer() -> None:
    answers = {phase: _answer(looked_at(phase)) for phase in PHASES}
    assert set(answers.values()) == {("backend-crash-loop", str(APP), True)}, answers


@pytest.mark.parametrize("phase", sampled(PHASES, 3))
def test_the_same_snapshot_has_the_same_answer_ten_times(phase: float) -> None:
    here = looked_at(phase)
    assert len({str(diagnose(here)) for _ in range(10)}) == 1


def _answer(here: Snapshot) -> tuple[str, str, bool]:
    first = diagnose(here).findings[0]
    return first.cause, str(first.target), first.ongoing


@pytest.mark.parametrize(
    ("substate", "restarts", "is_loop"), [("auto-restart", 2, True), ("auto-restart", 1, False), ("dead", 2, False)]
)
def test_a_service_that_systemd_is_about_to_start_again(substate: str, restarts: int, is_loop: bool) -> None:
    """It ends without an error of its own (code 0), so that no line tells of a death."""
    service = Service(
        manager="systemd",
        name=UNIT,
        is_running=False,
        state="activating" if substate == "auto-restart" else "inactive",
        substate=substate,
        restarts=restarts,
        changed_at=NOW - timedelta(seconds=1),
        targets=(APP,),
    )
    here = REPLACE(machine(failing(Symptom.CONNECT_REFUSED, APP, 40, ago_s=1), routes=(route(APP, 7),)), services=(service,))
    assert (diagnose(here).findings[0].cause == "backend-crash-loop") is is_loop


@pytest.mark.parametrize("name", ["backend-crash-loop", "backend-crash-loop-supervisord"])
def test_one_request_that_ends_a_service_which_otherwise_answers_is_a_crash(name: str) -> None:
    path = Path(__file__).parents[1] / "bundles" / "backend-crash-loop" / f"{name}.why502"
    here = load(path.read_bytes(), path.name)
    assert here.logs is not None
    assert diagnose(here).findings[0].cause == "backend-crash-loop"
    traffic = tuple(replace(one, attempts=one.attempts + 40) for one in here.logs.targets)
    found = diagnose(replace(here, logs=replace(here.logs, targets=traffic))).findings[0]
    assert found.cause == "backend-crashed"
    assert "GET /crash" in found.message
