"""A restart explains the failures that it causes, not failures of another kind that continue after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route, Setting
from why502.model.file_kind import FileKind
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Event, Snapshot, SocketPath
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TARGET = Target(path="/run/app.sock")
PLACE = Position(file="/etc/nginx/nginx.conf", line=7)


def findings(
    *tallies: Tally,
    paths: tuple[SocketPath, ...] = (),
    asked: tuple[PathTraffic, ...] = (),
    probes: tuple[Probe, ...] = (),
    age_s: float = 5.0,
    settings: dict[str, tuple[Setting, ...]] | None = None,
) -> list[Finding]:
    """Return the asserted findings for a service that was restarted some seconds ago."""
    route = Route(
        passes="http://unix:/run/app.sock",
        protocol="http",
        at=PLACE,
        peers=(Peer(name=str(TARGET), target=TARGET),),
        settings=settings or {},
    )
    begun = AT - timedelta(seconds=age_s)
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
        probes=probes,
    )
    return [finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED]


def causes(*tallies: Tally, **sections: Any) -> set[str]:
    """Return the asserted causes."""
    return {finding.cause for finding in findings(*tallies, **sections)}


def tally(symptom: Symptom, until_s: float, count: int = 5) -> Tally:
    """Return failures from the restart until this many seconds after it."""
    begun = AT - timedelta(seconds=5)
    return Tally(symptom=symptom, proxy="nginx", target=TARGET, count=count, first=begun, last=begun + timedelta(seconds=until_s))


def test_a_restart_alone() -> None:
    assert "deploy-termination-race" in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8))


@pytest.mark.parametrize("symptom", [Symptom.CONNECT_DENIED, Symptom.HEADER_INVALID, Symptom.TLS_FAILED])
def test_failures_of_another_kind_since_the_restart(symptom: Symptom) -> None:
    assert "deploy-termination-race" not in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8), tally(symptom, 4.5))


def test_a_single_other_failure_is_not_evidence() -> None:
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


@pytest.mark.parametrize(
    ("status", "symptom", "is_race"),
    [(200, None, True), (404, None, True), (503, Symptom.GATEWAY_STATUS, False), (None, Symptom.READ_TIMED_OUT, False)],
)
def test_a_request_of_ours_through_the_proxy_since(status: int | None, symptom: Symptom | None, is_race: bool) -> None:
    probe = Probe(target=Target(host="127.0.0.1", port=80), through_proxy=True, route_at=PLACE, status=status, symptom=symptom)
    assert ("deploy-termination-race" in causes(tally(Symptom.SOCKET_PATH_MISSING, 0.8), probes=(probe,))) == is_race


def test_a_socket_that_is_not_there_for_the_proxy_after_the_restart() -> None:
    path = SocketPath(path="/run/app.sock", user="proxy", kind=FileKind.MISSING, seen_elsewhere=("/run/app.sock",))
    answered = Probe(target=TARGET, status=200, request="GET /", repeats=True)
    first = findings(tally(Symptom.SOCKET_PATH_MISSING, 4.5), paths=(path,), probes=(answered,))[0]
    assert (first.cause, "chroot" in first.message) == ("unix-socket-missing", True)


@pytest.mark.parametrize(("until_s", "is_race"), [(65.0, True), (90.0, False)], ids=["as long as requests wait", "for longer"])
def test_timeouts_that_continue_after_the_restart(until_s: float, is_race: bool) -> None:
    begun = AT - timedelta(seconds=100)
    gap = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="nginx", target=TARGET, count=5, first=begun, last=begun)
    late = Tally(
        symptom=Symptom.READ_TIMED_OUT,
        proxy="nginx",
        target=TARGET,
        count=5,
        first=begun + timedelta(seconds=60),
        last=begun + timedelta(seconds=until_s),
    )
    assert ("deploy-termination-race" in causes(gap, late, age_s=100.0)) == is_race


def test_errors_that_go_on_lead_before_a_restart_that_is_over() -> None:
    page = PathTraffic(
        request="GET /", at=PLACE, statuses={"200": 600, "500": 62}, clients=8, last_refused=AT, last_served=AT, refused_since=0
    )
    begun = AT - timedelta(seconds=100)
    gap = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="nginx", target=TARGET, count=1, first=begun, last=begun)
    probe = Probe(target=Target(host="127.0.0.1", port=80), through_proxy=True, route_at=PLACE, request="GET /", status=500)
    found = findings(gap, asked=(page,), age_s=100.0, probes=(probe,))
    assert [(one.cause, one.ongoing) for one in found] == [("application-error", True), ("deploy-termination-race", False)]


@pytest.mark.parametrize(("until_s", "is_race"), [(3.0, True), (99.0, False)], ids=["for as long as a start takes", "for longer"])
def test_an_error_of_which_only_the_access_log_knows(until_s: float, is_race: bool) -> None:
    begun = AT - timedelta(seconds=100)
    gap = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="nginx", target=TARGET, count=300, status=502, first=begun, last=begun)
    since = Tally(
        symptom=Symptom.GATEWAY_STATUS,
        proxy="nginx",
        target=TARGET,
        count=400,
        status=503,
        first=begun,
        last=begun + timedelta(seconds=until_s),
    )
    found = findings(gap, since, age_s=100.0)
    assert ("deploy-termination-race" in {one.cause for one in found}) == is_race


@pytest.mark.parametrize(("until_s", "is_race"), [(0.8, True), (4.0, False)], ids=["while it was refused", "for longer"])
def test_an_authentication_service_that_answers_otherwise_since(until_s: float, is_race: bool) -> None:
    judge = Target(host="127.0.0.1", port=9100)
    server = Position(file=PLACE.file, line=2)
    asking = Route(
        location="/",
        server_names=("shop.example",),
        server_at=server,
        protocol="http",
        at=PLACE,
        peers=(Peer(name=str(TARGET), target=TARGET),),
        settings={"auth_request": (Setting(args=("/verify",)),)},
    )
    verify = Route(
        location="= /verify",
        server_names=("shop.example",),
        server_at=server,
        protocol="http",
        at=Position(file=PLACE.file, line=9),
        peers=(Peer(name=str(judge), target=judge),),
    )
    begun = AT - timedelta(seconds=5)
    refused = Tally(
        symptom=Symptom.CONNECT_REFUSED, target=judge, server="shop.example", count=32, status=500, first=begun, last=begun
    )
    failed = Tally(
        symptom=Symptom.AUTH_FAILED,
        server="shop.example",
        count=32 if is_race else 80,
        status=500,
        first=begun,
        last=begun + timedelta(seconds=until_s),
        requests=(("GET /terms", 80),),
    )
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(asking, verify)),),
        services=(Service(manager="systemd", name="sso.service", state="active", is_running=True, targets=(judge,)),),
        events=(
            Event(
                at=begun,
                symptom=Symptom.PROCESS_STOPPED,
                unit="sso.service",
                message="Stopping",
                detail="Stopping sso",
                source="journal",
            ),
            Event(
                at=begun + timedelta(seconds=1),
                symptom=Symptom.PROCESS_STARTED,
                unit="sso.service",
                message="Started sso",
                source="journal",
            ),
        ),
        logs=LogSummary(tallies=(refused, failed)),
    )
    found = {finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED}
    assert ("deploy-termination-race" in found) == is_race


@pytest.mark.parametrize(
    ("status", "cause"), [("404", "application-error"), ("421", "wrong-host-header"), ("400", "wrong-host-header")]
)
def test_an_application_that_refuses_since_its_restart_what_it_served_before(status: str, cause: str) -> None:
    """The restart is over and its failures with it. What clients get now comes first."""
    begun = AT - timedelta(seconds=5)
    pages = tuple(
        PathTraffic(
            request=request,
            at=PLACE,
            statuses={"200": 9, status: 12},
            clients=8,
            refused_since=12,
            last_refused=AT,
            last_served=begun,
        )
        for request in ("GET /", "GET /hooks")
    )
    path = SocketPath(path="/run/app.sock", user="proxy", kind=FileKind.SOCKET, is_reachable=True, modified_at=begun)
    found = findings(tally(Symptom.SOCKET_PATH_MISSING, 0.8), asked=pages, paths=(path,))
    assert [(one.cause, one.ongoing) for one in found] == [(cause, True), ("deploy-termination-race", False)]
    assert found[0].failures == 0  # those of the restart are not its own


@pytest.mark.parametrize(("until_s", "is_over"), [(1.5, True), (4.5, False)], ids=["until it began", "for longer"])
def test_failures_end_with_the_process_that_refuses_the_clients_itself(until_s: float, is_over: bool) -> None:
    begun = AT - timedelta(seconds=5)
    page = PathTraffic(
        request="GET /", at=PLACE, statuses={"200": 9, "404": 22}, clients=8, refused_since=22, last_refused=AT, last_served=begun
    )
    path = SocketPath(path="/run/app.sock", user="proxy", kind=FileKind.SOCKET, is_reachable=True, modified_at=begun)
    found = findings(tally(Symptom.CLOSED_BEFORE_HEADER, until_s), asked=(page,), paths=(path,))
    others = [one.ongoing for one in found if one.cause != "application-error"]
    assert (not any(others)) is is_over


def test_a_restart_is_over_once_another_page_is_served_whoever_logs_it() -> None:
    """The access log of some gateways names no address: its routes tell whose answers they were."""
    pages = (PathTraffic(request="GET /", at=PLACE, statuses={"200": 40, "502": 5}, last_served=AT),)
    (one,) = findings(tally(Symptom.CONNECT_REFUSED, 3.0), asked=pages)
    assert (one.cause, one.ongoing) == ("deploy-termination-race", False)


@pytest.mark.parametrize(("status", "is_told"), [("404", True), ("403", False)])
def test_a_password_explains_403_and_no_other_refusal(status: str, is_told: bool) -> None:
    begun = AT - timedelta(seconds=5)
    page = PathTraffic(
        request="GET /hooks",
        at=PLACE,
        statuses={"200": 9, status: 25},
        clients=8,
        refused_since=25,
        last_refused=AT,
        last_served=begun,
    )
    found = findings(
        tally(Symptom.SOCKET_PATH_MISSING, 0.8), asked=(page,), settings={"auth_basic": (Setting(args=("operations",)),)}
    )
    assert ("application-error" in {one.cause for one in found}) is is_told
