"""Requests that wait for a queue's worker whose unit is stopped, while the queue itself is well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.remedy import Run
from why502.model.snapshot import Dependency, Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8000)
AT = Position(file="/etc/nginx/site", line=4)
STOPPED, FIRST = NOW - timedelta(seconds=60), NOW - timedelta(seconds=48)
QUEUE = Dependency(target=APP, peer=Target(host="127.0.0.1", port=6379), is_heard=True, process="redis-server")
UNIT = "shop-worker.service"
WORKER = Dependency(
    target=APP,
    peer=Target(host=UNIT),
    unit=UNIT,
    unit_state="inactive",
    unit_since=STOPPED,
    shares="has the same user (shop)",
)


def machine(*dependencies: Dependency, served: datetime | None = STOPPED, answered: datetime = NOW) -> Snapshot:
    """Return a machine where orders time out, and other pages are served."""
    late = Tally(symptom=Symptom.READ_TIMED_OUT, target=APP, proxy="nginx", status=504, count=9, first=FIRST, last=NOW)
    orders = PathTraffic(request="POST /order", at=AT, statuses={"200": 5, "504": 9}, last_served=served)
    pages = PathTraffic(request="GET /", at=AT, statuses={"200": 90}, last_served=answered)
    traffic = TargetTraffic(target=APP, attempts=104, failures=9, statuses={"200": 95, "504": 9}, last_success=answered)
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", at=AT, peers=(Peer(name="x", target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(50,)),),
        processes=(Process(pid=50, ppid=1, name="uvicorn", user="shop"),),
        dependencies=dependencies,
        logs=LogSummary(tallies=(late,), paths=(orders, pages), targets=(traffic,), has_access=True),
    )


def test_the_stopped_worker_is_named() -> None:
    first = diagnose(machine(QUEUE, WORKER)).findings[0]
    assert (first.cause, first.target) == ("backend-dependency-down", APP)
    assert first.confidence > 0.7
    assert UNIT in first.message and "POST /order" in first.message and "11:59:00" in first.message


def replaced(**more: object) -> Dependency:
    return Dependency(**{**{name: getattr(WORKER, name) for name in WORKER.__struct_fields__}, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "here",
    [
        machine(QUEUE),
        machine(QUEUE, WORKER, served=NOW - timedelta(seconds=20)),
        machine(QUEUE, WORKER, answered=FIRST - timedelta(seconds=1)),
        machine(QUEUE, replaced(unit_since=NOW - timedelta(seconds=10))),
        machine(QUEUE, replaced(unit_since=None)),
        machine(QUEUE, WORKER, Dependency(target=APP, peer=Target(host="10.0.0.9", port=5432), connecting=1, busy=4)),
    ],
    ids=["none", "served since", "nothing is answered", "ended later", "never ran, but was served", "waits for another"],
)
def test_it_is_not_where_something_else_explains_the_timeouts(here: Snapshot) -> None:
    assert UNIT not in diagnose(here).findings[0].message


@pytest.mark.parametrize("ended", [None, NOW - timedelta(hours=9)], ids=["never ran", "hours ago"])
def test_one_that_ended_before_the_window_is_only_considered(ended: datetime | None) -> None:
    here = msgspec.structs.replace(machine(QUEUE, replaced(unit_since=ended), served=None), since=NOW - timedelta(minutes=15))
    found = next(each for each in diagnose(here).findings if each.cause == "backend-dependency-down")
    assert found.confidence <= 0.5 and any(UNIT in item.message for item in found.evidence)


@pytest.mark.parametrize("state", ["inactive", "masked"])
def test_the_worker_is_started_unless_it_is_masked(state: str) -> None:
    case = Case(here=machine(QUEUE, replaced(unit_state=state)), target=APP)
    (remedy,) = CAUSES["backend-dependency-down"].remedies(case)
    start = Run(argv=("systemctl", "start", UNIT), undo=("systemctl", "stop", UNIT))
    assert remedy.steps == ((start,) if state == "inactive" else ())
