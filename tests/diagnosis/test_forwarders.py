"""A forwarder between gateway and application: its own error about the far side outweighs the connection that it closes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, first, machine, route

from why502.diagnosis.engine import diagnose
from why502.gateways.nginx.logs import error
from why502.model.config import Location, Position, Server, Setting
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.service import Service
from why502.model.snapshot import Event, Listener, Snapshot
from why502.model.target import Target

UNIT = "forwarder.service"
OTHER = Target(host="127.0.0.1", port=3001)


def forwarding(symptom: Symptom, detail: str, *, count: int = 20, failed: bool = True) -> Snapshot:
    """Return a machine with a forwarder that closes the gateway's connections and logs why."""
    tallies = (failing(Symptom.RESET_BEFORE_HEADER, APP), failing(Symptom.CLOSED_BEFORE_HEADER, APP)) if failed else ()
    here = machine(*tallies, routes=(route(APP, 7),))
    event = Event(
        symptom=symptom, at=NOW - timedelta(seconds=9), message=detail, detail=detail, source="journalctl", unit=UNIT, count=count
    )
    argv = ("/lib/systemd/systemd-socket-proxyd", str(OTHER))
    service = Service(manager="systemd", name=UNIT, state="active", is_running=True, targets=(APP,), argv=argv)
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(40,)))
    return REPLACE(here, events=(event,), services=(service,), listeners=listeners)


@pytest.mark.parametrize(
    ("symptom", "detail", "cause", "said"),
    [
        (Symptom.APPLICATION_ERROR, "Failed to connect to remote host: Connection refused", "backend-dependency-down",
        str(OTHER)),
        (Symptom.APPLICATION_ERROR, "connect 203.0.113.1:8443: Connection refused (111)", "backend-dependency-down",
        "203.0.113.1:8443"),
        (Symptom.TLS_UNVERIFIED, "certificate has expired", "tls-verify-failed", "certificate has expired"),
        (Symptom.PEER_LIMIT, "Hit connection limit, refusing connection", "upstream-connection-limit", "Hit connection limit"),
    ],
)  # fmt: skip
def test_why_a_forwarder_closes(symptom: Symptom, detail: str, cause: str, said: str) -> None:
    found = first(forwarding(symptom, detail))
    assert (found.cause, found.target) == (cause, APP)
    assert said in found.message
    asserted = {each.cause for each in diagnose(forwarding(symptom, detail)).findings if each.confidence >= ASSERTED}
    assert not asserted & {"connection-reset", "premature-close"}


@pytest.mark.parametrize("symptom", [Symptom.TLS_UNVERIFIED, Symptom.PEER_LIMIT])
def test_without_failures_its_words_prove_nothing(symptom: Symptom) -> None:
    assert not [
        each for each in diagnose(forwarding(symptom, "some words", failed=False)).findings if each.confidence >= ASSERTED
    ]


POOLS = (Target(path="/run/php/a.sock"), Target(path="/run/php/b.sock"))


@pytest.mark.parametrize(
    ("counts", "target"),
    [((20, 0), POOLS[0]), ((2, 20), POOLS[1]), ((20, 20), None), ((3, 0), None)],
)
def test_errors_of_one_of_several_backends_are_placed_by_its_own_words(counts: tuple[int, int], target: Target | None) -> None:
    several = route(POOLS[0], 7, protocol="fastcgi", has_variables=True)
    several = REPLACE(several, peers=(*several.peers, *route(POOLS[1], 7).peers))
    path = PathTraffic(
        server="shop.example", request="GET /", at=several.at, statuses={"200": 20, "500": 20}, clients=9, last_refused=NOW
    )
    logs = LogSummary(requests=40, by_status={"200": 20, "500": 20}, has_access=True, paths=(path,))
    events = tuple(
        Event(symptom=Symptom.APPLICATION_ERROR, at=NOW, message="PHP Fatal error", target=pool, source="php.log", count=count)
        for pool, count in zip(POOLS, counts, strict=True)
        if count
    )
    here = machine(routes=(several,))
    listeners = (*(here.listeners or ()), *(Listener(target=pool, pids=(40,)) for pool in POOLS))
    here = REPLACE(here, logs=logs, events=events, listeners=listeners)
    assert (first(here).cause, first(here).target) == ("application-error", target)


def test_the_backend_of_a_subrequest_that_failed_is_named() -> None:
    at = Position(file="/etc/nginx/nginx.conf", line=1)
    asking = REPLACE(
        route(APP, 7),
        server_at=at,
        location="/admin/",
        location_path=("/admin/",),
        settings={"auth_request": (Setting(args=("/_auth",)),)},
    )
    checking = REPLACE(route(OTHER, 8), server_at=at, location="= /_auth", location_path=("= /_auth",))
    here = machine(
        Tally(
            symptom=Symptom.AUTH_FAILED,
            proxy="nginx",
            server="shop.example",
            status=500,
            count=9,
            requests=(("GET /admin/x", 9),),
        ),
        routes=(asking, checking),
    )
    (proxy,) = here.proxies or ()
    location = [Location(path=(path,), at=each.location_at) for path, each in (("/admin/", asking), ("= /_auth", checking))]
    server = Server(names=("shop.example",), listens=("80",), at=at, locations=tuple(location))
    listeners = (*(here.listeners or ()), Listener(target=APP, pids=(40,)), Listener(target=OTHER, pids=(41,)))
    here = REPLACE(here, proxies=(REPLACE(proxy, servers=(server,)),), listeners=listeners)
    assert (first(here).cause, first(here).target) == ("auth-service-failed", OTHER)


def test_a_check_that_fails_alone_goes_before_the_group_that_it_empties() -> None:
    members = (APP, OTHER)
    both = REPLACE(route(APP, 7), proxy="caddy", peers=(*route(APP, 7).peers, *route(OTHER, 7).peers))
    here = machine(
        Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="caddy", server="shop.example", status=503, count=9, first=NOW, last=NOW),
        *(
            Tally(symptom=Symptom.HEALTH_CHECK_STATUS, proxy="caddy", target=each, count=4, detail="404", first=NOW, last=NOW)
            for each in members
        ),
        routes=(both,),
    )
    (proxy,) = here.proxies or ()
    listeners = (*(here.listeners or ()), *(Listener(target=each, pids=(40,)) for each in members))
    probes = tuple(Probe(target=each, status=200) for each in members)
    here = REPLACE(here, proxies=(REPLACE(proxy, kind="caddy"),), listeners=listeners, probes=probes)
    assert first(here).cause == "health-check-misconfigured"
    assert first(here).target in members


def test_a_handshake_that_haproxy_logs_like_a_refusal_is_told_by_the_probe() -> None:
    here = machine(
        failing(Symptom.CONNECT_REFUSED, APP, status=503, code="SC--", proxy="haproxy"), routes=(route(APP, 7, protocol="https"),)
    )
    probe = Probe(target=APP, symptom=Symptom.TLS_UNVERIFIED, certificate="certificate has expired", at=NOW, protocol="https")
    here = REPLACE(here, probes=(probe,), listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,))))
    assert first(here).cause == "tls-verify-failed"


@pytest.mark.parametrize(("client", "is_failure"), [("127.0.0.1", True), ("203.0.113.9", False)])
def test_a_header_that_a_program_of_this_machine_does_not_send(client: str, *, is_failure: bool) -> None:
    line = (
        f'2026/11/22 18:44:56 [error] 202#202: *237 broken header: "x" while reading PROXY protocol, client: {client}, '
        f"server: 127.0.0.1:8443"
    )
    found = error.parse(line)
    assert found is not None
    assert (found.symptom is Symptom.OTHER_PROTOCOL) is is_failure
    assert (found.target == Target(host="127.0.0.1", port=8443)) is is_failure
