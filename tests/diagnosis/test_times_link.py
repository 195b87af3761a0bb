"""What the time links: a failing service to the target that nothing else serves, a served path to its present address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from why502.diagnosis.case import Case
from why502.diagnosis.engine import diagnose
from why502.diagnosis.index import Joins
from why502.diagnosis.unserved import unserved
from why502.diagnosis.waiting import is_hurt
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import ConfigFile, PeerView, Proxy
from why502.model.service import Service
from why502.model.snapshot import Event, Kernel, Listener, Resolution, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(seconds=60)
APP, V6 = Target(host="127.0.0.1", port=8080), Target(host="::1", port=8080)
AT = Position(file="/etc/nginx/conf.d/shop.conf", line=3)
CONFIG = ConfigFile(path=AT.file, text="proxy_pass http://127.0.0.1:8080;", modified_at=NOW - timedelta(days=9))
FAILING = Service(
    manager="systemd", name="shop.service", state="failed", is_running=False, result="exit-code", exit_code=1, changed_at=BEGAN
)
PACKAGED = Service(manager="systemd", name="tomcat10.service", state="inactive", is_running=False, targets=(APP,))
ENDED = Event(
    at=BEGAN - timedelta(seconds=1),
    symptom=Symptom.PROCESS_EXITED,
    message="shop.service: Main process exited, code=exited, status=1/FAILURE",
    source="journalctl -u shop.service",
    unit="shop.service",
)


def machine(*services: Service, events: tuple[Event, ...] = (), served: datetime | None = BEGAN, kind: str = "nginx") -> Snapshot:
    """Return a machine whose proxy is refused by the only target since a minute; it had served until then."""
    route = Route(proxy=kind, peers=(Peer(name=str(APP), target=APP, at=AT),), at=AT, location="/")
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, proxy=kind, target=APP, status=502, count=9, first=BEGAN, last=NOW)
    path = PathTraffic(location="/", at=AT, statuses={"200": 40, "502": 9}, last_served=served)
    return Snapshot(
        taken_at=NOW,
        since=NOW - timedelta(minutes=15),
        proxies=(Proxy(kind=kind, pid=10, routes=(route,), files=(CONFIG,)),),
        processes=(Process(pid=10, name=kind), Process(pid=1, name="systemd")),
        listeners=(),
        addresses=("127.0.0.1",),
        services=services,
        events=events,
        logs=LogSummary(tallies=(tally,), paths=(path,), requests=49, has_access=True),
    )


def first(here: Snapshot) -> tuple[str, str]:
    """Return the first finding's cause, if it is asserted, and all its words."""
    best = diagnose(here).findings[0]
    assert best.confidence >= ASSERTED
    return best.cause, " ".join((best.message, *(item.message for item in best.evidence)))


@pytest.mark.parametrize("others", [(), (PACKAGED,)])
def test_a_service_that_fails_since_then_is_that_of_the_target(others: tuple[Service, ...]) -> None:
    _, words = first(machine(*others, FAILING, events=(ENDED,)))
    assert "shop.service is taken to serve it: it has failed since requests to 127.0.0.1:8080 fail" in words
    assert "tomcat10" not in words


LONG_AGO = replace(FAILING, changed_at=NOW - timedelta(minutes=10))
RUNNING = replace(PACKAGED, name="web.service", changed_at=NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("services", "served"),
    [
        ((LONG_AGO,), BEGAN),  # it failed before
        ((FAILING, replace(FAILING, name="other.service")), BEGAN),  # which one?
        ((FAILING,), None),  # the target was not served before
        ((FAILING, RUNNING), BEGAN),  # the target's own service ran
    ],
)
def test_a_service_is_not_linked_by_chance(services: tuple[Service, ...], served: datetime | None) -> None:
    assert "shop.service" not in first(machine(*services, served=served))[1]


@pytest.mark.parametrize(("changed", "cause"), [(BEGAN, "wrong-port"), (NOW - timedelta(days=9), "backend-not-running")])
def test_what_a_path_served_before_its_address_was_changed_is_no_witness(changed: datetime, cause: str) -> None:
    """The application ran all the time: it is another one only if the same address was served beside it."""
    here = machine(served=BEGAN - timedelta(seconds=5))
    java = Process(pid=30, name="java", started_at=NOW - timedelta(hours=3))
    beside = tuple(Listener(target=Target(host="127.0.0.1", port=port), pids=(30,)) for port in (8081, 8088))
    proxy = replace(here.proxies[0], files=(replace(CONFIG, modified_at=changed),)) if here.proxies else Proxy()
    here = replace(here, proxies=(proxy,), processes=(*(here.processes or ()), java), listeners=beside)
    found, words = first(here)
    assert found == cause
    assert ("127.0.0.1:8081 and 127.0.0.1:8088" in words) is (cause == "wrong-port")


@pytest.mark.parametrize(("kind", "is_found"), [("apache", False), ("nginx", False), ("caddy", False), ("haproxy", True)])
def test_an_address_of_a_name_that_a_gateway_passes_over_is_no_finding(kind: str, is_found: bool) -> None:
    named = Target(host="localhost", port=8080)
    route = Route(proxy=kind, peers=(Peer(name=str(named), target=named, at=AT),), at=AT, location="/")
    here = replace(
        machine(kind=kind),
        proxies=(Proxy(kind=kind, pid=10, routes=(route,), files=(CONFIG,)),),
        processes=(Process(pid=10, name=kind), Process(pid=30, name="java")),
        listeners=(Listener(target=APP, pids=(30,)),),
        names=(Resolution(name="localhost", addresses=("::1", "127.0.0.1")),),
        probes=(Probe(target=V6, symptom=Symptom.CONNECT_REFUSED), Probe(target=APP, status=200)),
        logs=LogSummary(paths=(PathTraffic(at=AT, statuses={"200": 40}, last_served=NOW),), requests=40, has_access=True),
    )
    assert any(finding.target == V6 for finding in diagnose(here).findings) is is_found


def test_the_address_that_a_gateway_reports_goes_before_the_one_of_now() -> None:
    """HAProxy looked the name up when it started. It reports the address that refuses; the restart of the other is no race."""
    named, old, new = (Target(host=host, port=8005) for host in ("shop.internal", "10.0.0.21", "10.0.0.22"))
    tally = Tally(
        symptom=Symptom.CONNECT_REFUSED,
        proxy="haproxy",
        target=named,
        group="shop/shop1",
        status=503,
        count=9,
        first=BEGAN,
        last=NOW,
    )
    route = Route(proxy="haproxy", peers=(Peer(name="shop1", target=named, at=AT),), at=AT)
    view = PeerView(group="shop", name="shop1", target=old)
    here = replace(
        machine(),
        proxies=(Proxy(kind="haproxy", pid=10, routes=(route,), peers=(view,)),),
        names=(Resolution(name=named.host, addresses=(new.host,)),),
        logs=LogSummary(tallies=(tally,), requests=40, has_access=True),
        probes=(Probe(target=new, status=200),),
    )
    best = diagnose(here).findings[0]
    assert (best.cause, best.target) == ("stale-dns", old)


@pytest.mark.parametrize(("overflows", "is_blamed"), [(0, False), (7, True), (None, True)])
def test_a_dependency_does_not_make_connections_time_out_beside_an_empty_queue(overflows: int | None, is_blamed: bool) -> None:
    tally = Tally(symptom=Symptom.CONNECT_TIMED_OUT, proxy="nginx", target=APP, status=504, count=9, first=BEGAN, last=NOW)
    here = replace(
        machine(),
        listeners=(Listener(target=APP, pids=(30,)),),
        kernel=Kernel(listen_overflows=overflows),
        logs=LogSummary(tallies=(tally,), requests=9, has_access=True),
    )
    assert is_hurt(Case(here, target=APP)) is is_blamed


@pytest.mark.parametrize(
    ("count", "symptom", "is_own"),
    [(19, Symptom.TLS_FAILED, True), (3, Symptom.TLS_FAILED, False), (19, Symptom.CONNECT_REFUSED, False)],
)
def test_the_500s_that_apache_sends_for_a_failed_handshake_are_not_the_applications(
    count: int, symptom: Symptom, *, is_own: bool
) -> None:
    route = Route(proxy="apache", peers=(Peer(name=str(APP), target=APP, at=AT),), at=AT, location="/rates")
    tally = Tally(symptom=symptom, proxy="apache", target=APP, count=count, first=BEGAN, last=NOW)
    path = PathTraffic(request="GET /rates", at=AT, statuses={"500": 23}, clients=8, refused_since=23, last_refused=NOW)
    here = replace(
        machine(kind="apache"),
        proxies=(Proxy(kind="apache", pid=10, routes=(route,)),),
        logs=LogSummary(tallies=(tally,), paths=(path,), requests=23, has_access=True),
    )
    assert (not unserved(Joins(here))) is is_own
