"""Notes beside a finding: the application's last error, how its process ended, and the location of its slow scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.finding import Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BACKEND = Target(host="127.0.0.1", port=8000)
PLACE = Position(file="/etc/nginx/sites-enabled/shop", line=9)


def _event(symptom: Symptom, text: str, seconds: float = 1, count: int = 1, detail: str = "") -> Event:
    at = AT + timedelta(seconds=seconds)
    return Event(
        symptom=symptom, message=text, detail=detail or text, unit="shop.service", at=at, count=count, source="journalctl -u shop"
    )


def _leading(symptom: Symptom, *events: Event) -> Finding:
    """Return the leading finding of a machine with these events, on which nine requests for one path failed and others did
    not.
    """
    route = Route(location="/", at=PLACE, peers=(Peer(name=str(BACKEND), target=BACKEND),), read_timeout_s=8)
    tally = Tally(
        symptom=symptom,
        target=BACKEND,
        status=502,
        count=9,
        first=AT,
        last=AT + timedelta(seconds=9),
        requests=(("GET /pay", 9),),
    )
    paths = (
        PathTraffic(request="GET /pay", location="/", at=PLACE, statuses={"200": 3, "502": 9}),
        PathTraffic(location="/", at=PLACE, statuses={"200": 41}, last_served=AT),
    )
    here = Snapshot(
        taken_at=AT + timedelta(seconds=10),
        proxies=(Proxy(pid=3, routes=(route,)),),
        listeners=(Listener(target=BACKEND, pids=(9,)),),
        processes=(Process(pid=9, name="gunicorn", unit="shop.service"),),
        events=events,
        logs=LogSummary(tallies=(tally,), paths=paths, requests=53, has_access=True),
    )
    return diagnose(here).findings[0]


def _notes(finding: Finding) -> list[str]:
    return [item.message for item in finding.evidence if not item.weight]


def test_the_error_that_names_the_reason_goes_before_a_later_one_that_does_not() -> None:
    finding = _leading(
        Symptom.UPSTREAM_STATUS,
        _event(Symptom.START_FAILED, "ModuleNotFoundError: No module named 'stripe'"),
        _event(Symptom.START_FAILED, "Exception in worker process", 3),
        _event(Symptom.PROCESS_EXITED, "Main process exited, code=exited, status=3/NOTIMPLEMENTED", 4),
    )
    every = " ".join(item.message for item in finding.evidence)
    assert "No module named 'stripe'" in every and "status=3/NOTIMPLEMENTED" in every
    assert "Exception in worker process" not in every


@pytest.mark.parametrize("seconds", [-300, 300])
def test_messages_from_another_time_are_not_shown(seconds: float) -> None:
    finding = _leading(Symptom.UPSTREAM_STATUS, _event(Symptom.APPLICATION_ERROR, "KeyError: 'price'", seconds))
    assert not any("KeyError" in note for note in _notes(finding))


def test_notes_do_not_repeat_the_evidence() -> None:
    finding = _leading(Symptom.UPSTREAM_STATUS, _event(Symptom.APPLICATION_ERROR, "KeyError: 'price'"))
    assert sum("KeyError: 'price'" in item.message for item in finding.evidence) == 1


def test_a_note_names_the_only_failing_path() -> None:
    assert "all 9 failures are GET /pay; 41 other requests succeeded" in _notes(_leading(Symptom.READ_TIMED_OUT))


def test_where_most_slow_scripts_stand() -> None:
    slow, other = "sleep() /srv/index.php:8", "mysqli_query() /srv/db.php:3"
    finding = _leading(
        Symptom.READ_TIMED_OUT,
        _event(Symptom.PHP_SLOW, "slow", 1, 5, slow),
        _event(Symptom.PHP_SLOW, "slow", 2, 2, other),
        _event(Symptom.PHP_SLOW, "executing too slow (5.1 sec), logging", 3, 7),
    )
    assert f"in PHP-FPM's slow log, 5 of 7 traces stand in: {slow}" in _notes(finding)
