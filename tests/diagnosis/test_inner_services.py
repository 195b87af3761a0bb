"""Backend services that are themselves gateways or process managers: events of their units count for the applications they
serve.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from why502.diagnosis.engine import diagnose
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Position, Route
from why502.model.finding import ASSERTED, Finding, Verdict
from why502.model.logs import LogFile, LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Resolution, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BEGUN = AT - timedelta(seconds=20)
CACHE = Target(host="127.0.0.1", port=6086)
PLACE = Position(file="/etc/nginx/nginx.conf", line=7)
UNIT = "varnish.service"


def route_to(target: Target) -> Route:
    return Route(passes=f"http://{target}", protocol="http", at=PLACE, peers=(Peer(name=str(target), target=target),))


def refused(target: Target, **fields: object) -> Tally:
    return Tally(
        **{
            "symptom": Symptom.CONNECT_REFUSED,
            "proxy": "nginx",
            "target": target,
            "status": 502,
            "count": 30,
            "first": BEGUN,
            "last": AT,
            **fields,
        }
    )


def event(symptom: Symptom, seconds: float, detail: str) -> Event:
    return Event(
        at=BEGUN + timedelta(seconds=seconds),
        symptom=symptom,
        unit=UNIT,
        message=f"{UNIT}: {detail}",
        detail=detail,
        source=f"journalctl -u {UNIT}",
    )


def asserted(here: Snapshot) -> list[Finding]:
    return [finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED]


def restarted(reason: tuple[str, ...], *events: Event) -> Snapshot:
    """Return a machine whose inner gateway was stopped, started again and is not running now."""
    stops = (event(Symptom.PROXY_STOPPED, 0, "Stopping Varnish..."), event(Symptom.PROXY_STOPPED, 0.2, "Stopped Varnish."))
    service = Service(
        manager="systemd",
        name=UNIT,
        state="failed" if events else "inactive",
        is_running=False,
        result="exit-code" if events else "success",
        exit_code=2 if events else 0,
        reason=reason,
        targets=(CACHE,),
    )
    served = PathTraffic(request="GET /", at=PLACE, statuses={"200": 40, "502": 30}, last_served=BEGUN)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route_to(CACHE),)),),
        listeners=(),
        processes=(Process(pid=1, name="systemd"),),
        services=(service,),
        events=(*stops, *events),
        logs=LogSummary(tallies=(refused(CACHE),), paths=(served,), requests=70, has_access=True),
    )


def test_an_inner_gateway_that_fails_to_restart_names_the_reason() -> None:
    words = ("Symbol not found: 'std.foo'", "VCL compilation failed")
    begun = replace(event(Symptom.PROCESS_STARTED, 0.3, "Started Varnish."), count=2, last=BEGUN + timedelta(seconds=0.3))
    ended = event(Symptom.PROXY_START_FAILED, 0.5, "Main process exited, code=exited, status=2/INVALIDARGUMENT")
    first = asserted(restarted(words, begun, ended))[0]
    assert (first.cause, first.target) == ("backend-startup-failure", CACHE)
    assert "VCL compilation failed" in first.message


def test_an_inner_gateway_that_was_stopped_does_not_fail_to_start() -> None:
    assert asserted(restarted(()))[0].cause == "backend-not-running"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("(98)Address already in use: AH00072: make_sock: could not bind to address 0.0.0.0:80", "port-conflict"),
        ("(13)Permission denied: AH00072: make_sock: could not bind to address 0.0.0.0:80", "backend-startup-failure"),
    ],
)
def test_an_inner_gateway_that_cannot_listen(words: str, cause: str) -> None:
    failed = event(Symptom.LISTEN_FAILED, 0.5, "make_sock: could not bind to address 0.0.0.0:80")
    assert asserted(restarted((words,), failed))[0].cause == cause


def managed(*, started_s: float, applications: tuple[Service, ...] = ()) -> Snapshot:
    """Return a machine whose application's service listens only on a unix socket, from some seconds after BEGUN."""
    target, control = Target(host="127.0.0.1", port=3000), Target(path="/home/node/.pm2/rpc.sock")
    started = BEGUN + timedelta(seconds=started_s)
    service = Service(
        manager="systemd", name="app.service", state="active", is_running=True, main_pid=9, started_at=started, targets=(target,)
    )
    served = PathTraffic(request="GET /", at=PLACE, statuses={"200": 40, "502": 30}, last_served=BEGUN)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route_to(target),)),),
        listeners=(Listener(target=control, pids=(9,)),),
        processes=(Process(pid=9, name="app", started_at=started),),
        services=(service, *applications),
        logs=LogSummary(tallies=(refused(target),), paths=(served,), requests=70, has_access=True),
    )


def test_a_service_that_began_again_listens_elsewhere_now() -> None:
    assert asserted(managed(started_s=1))[0].cause == "wrong-address"


def test_sockets_that_it_had_while_it_served_are_not_where_it_listens_now() -> None:
    assert asserted(managed(started_s=-60))[0].cause == "backend-not-running"


def test_sockets_of_a_manager_are_not_its_applications() -> None:
    inner = Service(manager="pm2", name="shop", state="errored", is_running=False, manager_unit="app.service")
    assert "wrong-address" not in {finding.cause for finding in asserted(managed(started_s=1, applications=(inner,)))}


@pytest.mark.parametrize("is_named", [True, False], ids=["of the pool behind it", "of another pool"])
def test_log_messages_of_applications_behind_an_inner_gateway(is_named: bool) -> None:
    front, pool = Target(host="127.0.0.1", port=7080), Target(path="/run/php/shop.sock")
    words = "PHP Fatal error:  Uncaught mysqli_sql_exception: No such file or directory"
    own = pool if is_named else Target(path="/run/php/other.sock")
    said = Event(at=BEGUN, symptom=Symptom.APPLICATION_ERROR, message=words, detail=words, target=own, source="log", count=30)
    path = PathTraffic(request="GET /", at=PLACE, statuses={"200": 40, "500": 30}, clients=8, last_refused=AT, refused_since=30)
    here = Snapshot(
        taken_at=AT,
        proxies=(
            Proxy(pid=3, routes=(route_to(front),)),
            Proxy(kind="apache", pid=5, routes=(replace(route_to(pool), at=None),)),
        ),
        listeners=(Listener(target=front, pids=(5,)), Listener(target=pool, pids=(8,))),
        processes=(Process(pid=5, name="apache2"), Process(pid=8, name="php-fpm8.2")),
        events=(said,),
        logs=LogSummary(paths=(path,), requests=70, has_access=True, by_status={"200": 40, "500": 30}),
    )
    first = asserted(here)[0]
    assert (first.cause, first.target) == ("backend-dependency-down" if is_named else "application-error", front)


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_a_backend_with_a_name_are_those_of_its_one_address(count: int) -> None:
    named = Target(host="app.internal", port=8008)
    addresses = tuple(f"10.0.0.{number + 1}" for number in range(count))
    path = PathTraffic(request="GET /", at=PLACE, statuses={"200": 40, "500": 30}, clients=8, last_refused=AT, refused_since=30)
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route_to(named),)),),
        names=(Resolution(name=named.host, addresses=addresses),),
        logs=LogSummary(paths=(path,), requests=70, has_access=True, by_status={"200": 40, "500": 30}),
    )
    expected = named if count > 1 else Target(host="10.0.0.1", port=8008)
    assert [(one.cause, one.target) for one in asserted(here)] == [("application-error", expected)]


@pytest.mark.parametrize(
    ("journal", "verdict"), [("", Verdict.HEALTHY), ("permission denied", Verdict.UNKNOWN)], ids=["other logs", "no other log"]
)
def test_an_access_log_that_cannot_be_read(journal: str, verdict: Verdict) -> None:
    log = LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.FILE, path="/var/log/caddy/shop.log")
    caddy = Proxy(kind="caddy", pid=4, unit="caddy.service", routes=(replace(route_to(CACHE), at=None),), logs=(log,))
    files = (
        LogFile(path="/var/log/nginx/access.log", lines=70),
        LogFile(path=log.path, reason="permission denied"),
        LogFile(path="journalctl -u caddy.service", reason=journal),
    )
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route_to(CACHE),)), caddy),
        listeners=(Listener(target=CACHE, pids=(7,)),),
        probes=(Probe(target=CACHE, status=200, request="GET /", repeats=True),),
        logs=LogSummary(files=files, requests=70, by_status={"200": 70}, has_access=True),
    )
    diagnosis = diagnose(here)
    assert diagnosis.verdict is verdict
    assert any(check.id == "logs-readable" and check.status == "warn" for check in diagnosis.checks)
