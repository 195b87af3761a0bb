"""A restart explains the failures that it makes, not those of another kind that go on after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.file_kind import FileKind
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.snapshot import Event, Proxy, Service, Snapshot, SocketPath
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TARGET = Target(path="/run/app.sock")
PLACE = Position(file="/etc/nginx/nginx.conf", line=7)


def causes(*tallies: Tally, paths: tuple[SocketPath, ...] = (), asked: tuple[PathTraffic, ...] = ()) -> set[str]:
    """Return the causes that are asserted, of a service that was restarted five seconds ago."""
    route = Route(passes="http://unix:/run/app.sock", protocol="http", at=PLACE, peers=(Peer(name=str(TARGET), target=TARGET),))
    begun = AT - timedelta(seconds=5)
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        services=(Service(manager="systemd", name="app.service", state="active", is_running=True, targets=(TARGET,)),),
        events=tuple(
            Event(at=at, symptom=symptom, unit="app.service", message=message, detail=message, source="journal")
            for at, symptom, message in (
                (begun, Symptom.PROCESS_STOPPED, "Stopping app"),
                (begun + timedelta(seconds=1), Symptom.PROCESS_STARTED, "Started app"),
            )
        ),
        logs=LogSummary(tallies=tallies, paths=asked),
        socket_paths=paths,
    )
    return {finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED}


def tally(symptom: Symptom, until_s: float, count: int = 5) -> Tally:
    """Return failures from the restart on until so many seconds after it."""
    begun = AT - timedelta(seconds=5)
    return Tally(symptom=symptom, proxy="nginx", target=TARGET, count=count, first=begun, last=begun + timedelta(seconds=until_s))


def test_a_restart_alone() -> None:
    assert "deploy-termination-race" in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8))


@pytest.mark.parametrize("symptom", [Symptom.CONNECT_DENIED, Symptom.HEADER_INVALID, Symptom.TLS_FAILED])
def test_what_fails_otherwise_since(symptom: Symptom) -> None:
    assert "deploy-termination-race" not in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8), tally(symptom, 4.5))


def test_one_single_other_failure_says_nothing() -> None:
    assert "deploy-termination-race" in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8), tally(Symptom.CONNECT_DENIED, 2, count=1))


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_socket_that_the_proxy_may_not_use_fails_after_the_restart_too(is_reachable: bool) -> None:
    path = SocketPath(path="/run/app.sock", user="proxy", kind=FileKind.SOCKET, is_reachable=is_reachable)
    found = causes(tally(Symptom.CONNECT_REFUSED, 4.5), paths=(path,))
    assert ("deploy-termination-race" in found) == is_reachable
    assert ("unix-socket-permission" in found) != is_reachable


@pytest.mark.parametrize(("served_s", "is_race"), [(None, False), (4.9, True)], ids=["errors alone", "served again"])
def test_errors_of_the_application_since_the_restart(served_s: float | None, is_race: bool) -> None:
    begun = AT - timedelta(seconds=5)
    served = None if served_s is None else begun + timedelta(seconds=served_s)
    page = PathTraffic(
        request="GET /a", at=PLACE, statuses={"500": 9}, last_refused=AT, last_served=served, refused_since=9 * (served is None)
    )
    assert ("deploy-termination-race" in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8), asked=(page,))) == is_race
