"""Facts that only several sources together show: an access log and a probe, a gateway and a name, two logs of one death."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, SOCKET, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Upstream
from why502.model.finding import Verdict
from why502.model.logs import LogSummary, PathTraffic, Symptom, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.service import Service
from why502.model.snapshot import Dependency, Disk, Event, Kernel, Listener, Lookup, Resolution, Snapshot
from why502.model.target import Target

SIX, NAMED = Target(host="::1", port=3000), Target(host="localhost", port=3000)
OTHER = Target(host="127.0.0.1", port=3001)
OLD, NEW, SHOP = (Target(host=host, port=8005) for host in ("127.0.0.21", "127.0.0.22", "shop.internal"))


def causes(here: Snapshot) -> list[tuple[str, Target | None]]:
    return [(found.cause, found.target) for found in diagnose(here).findings if found.confidence >= 0.5]


@pytest.mark.parametrize(("is_logged", "is_alive"), [(False, True), (True, True), (False, False)])
def test_an_address_of_localhost_that_nobody_misses(*, is_logged: bool, is_alive: bool) -> None:
    """The application listens on one address of a name with two; the gateway takes the other one, with or without a word."""
    own = route(NAMED, 7)
    path = PathTraffic(at=own.at, location="/", statuses={"200": 90}, last_served=NOW)
    here = machine(
        *((failing(Symptom.CONNECT_REFUSED, SIX, 3, ago_s=60, status=200),) if is_logged else ()),
        routes=(own,),
        names=(Resolution(name="localhost", source="/etc/hosts", addresses=("::1", "127.0.0.1"), outcome=Lookup.OK),),
        probes=(
            Probe(target=SIX, symptom=Symptom.CONNECT_REFUSED, errno=111, at=NOW),
            Probe(target=APP, status=200, at=NOW) if is_alive else Probe(target=APP, symptom=Symptom.CONNECT_REFUSED, at=NOW),
        ),
        processes=(Process(pid=10, name="nginx"), Process(pid=40, name="java")),
        addresses=("127.0.0.1", "::1"),
    )
    assert here.logs is not None and here.listeners is not None
    served = TargetTraffic(target=APP, attempts=90, statuses={"200": 90}, last_success=NOW)
    logs = REPLACE(here.logs, paths=(path,), targets=(served,), by_status={"200": 90})
    here = REPLACE(here, logs=logs, listeners=(*here.listeners, *((Listener(target=APP, pids=(40,)),) if is_alive else ())))
    assert (diagnose(here).verdict is Verdict.HEALTHY) is is_alive


@pytest.mark.parametrize(("used", "cause"), [(OLD, "stale-dns"), (NEW, "backend-not-running")])
def test_the_address_that_a_gateway_says_it_uses(used: Target, cause: str) -> None:
    """HAProxy logs a server's label, and looks its name up once."""
    group = Upstream(name="shop", peers=(Peer(name=str(SHOP), label="shop1", target=SHOP),))
    view = PeerView(group="shop", name="shop1", target=used, state=PeerState.UNCHECKED, source="show stat")
    own = REPLACE(route(SHOP, 7), proxy="haproxy", peers=group.peers, upstream="shop")
    proxy = Proxy(kind="haproxy", pid=10, routes=(own,), upstreams=(group,), peers=(view,))
    here = machine(
        failing(Symptom.CONNECT_REFUSED, SHOP, proxy="haproxy", status=503),
        proxies=(proxy,),
        names=(Resolution(name=SHOP.host, source="/etc/hosts", addresses=(NEW.host,), outcome=Lookup.OK),),
    )
    assert causes(here)[0] == (cause, used)


def test_two_words_about_one_death_are_no_failed_start() -> None:
    """Node.js says that it ends, then systemd says so: the process had served."""
    unit = "taxi.service"
    died = NOW - timedelta(seconds=2)

    def told(symptom: Symptom, message: str, after_s: float, **changes: object) -> Event:
        at = died + timedelta(seconds=after_s)
        return REPLACE(Event(symptom=symptom, message=message, detail=message, at=at, source="journalctl", unit=unit), **changes)

    here = machine(
        failing(Symptom.CLOSED_BEFORE_HEADER, APP, 2, first=died, last=died),
        failing(Symptom.CONNECT_REFUSED, APP, 40, first=died, last=NOW),
        routes=(route(APP, 7),),
        services=(Service(manager="systemd", name=unit, is_running=True, main_pid=9, targets=(APP,), started_at=NOW),),
        events=(
            told(Symptom.PROCESS_STARTED, f"Started {unit}.", -60, count=2, last=NOW),
            told(Symptom.PROCESS_CRASHED, "Node.js v18.20.4", 0),
            told(Symptom.PROCESS_EXITED, f"{unit}: Main process exited, code=exited, status=1/FAILURE", 0.01),
        ),
    )
    assert causes(here)[0] == ("backend-crashed", APP)


def test_errors_of_two_instances_behind_one_route() -> None:
    """The log does not tell which one answered; both say what they miss."""
    own = REPLACE(route(APP, 7), peers=(Peer(name=str(APP), target=APP), Peer(name=str(OTHER), target=OTHER)))
    path = PathTraffic(request="GET /", at=own.at, statuses={"500": 20}, clients=8, refused_since=20, last_refused=NOW)
    detail = 'OperationalError: connection to server at "127.0.0.1", port 5432 failed: FATAL:  password authentication failed'
    events = tuple(
        Event(symptom=Symptom.APPLICATION_ERROR, message=detail, detail=detail, at=NOW, source="log", unit=unit, count=count)
        for unit, count in (("a@3000.service", 10), ("a@3001.service", 9))
    )
    services = tuple(
        Service(manager="systemd", name=f"a@{target.port}.service", is_running=True, targets=(target,)) for target in (APP, OTHER)
    )
    here = machine(
        routes=(own,),
        events=events,
        services=services,
        listeners=(Listener(target=APP, pids=(40,)), Listener(target=OTHER, pids=(41,))),
        processes=tuple(Process(pid=pid, name="gunicorn", unit=f"a@{2960 + pid}.service") for pid in (40, 41)),
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), by_status={"500": 20}))
    assert {("backend-dependency-down", APP), ("backend-dependency-down", OTHER)} <= set(causes(here))
    one = REPLACE(here, events=events[:1])
    assert causes(one)[0] == ("backend-dependency-down", APP)
    assert ("backend-dependency-down", OTHER) not in causes(one)


@pytest.mark.parametrize(("headers", "is_told"), [((("Connection", ""),), True), ((("Upgrade", "$http_upgrade"),), False)])
def test_a_handshake_that_arrives_as_a_plain_request(headers: tuple[tuple[str, str], ...], *, is_told: bool) -> None:
    own = route(APP, 7, headers=headers, protocol="http", proxy="nginx", http_version="1.1")
    path = PathTraffic(request="GET /ws", at=own.at, statuses={"404": 20}, clients=6, refused_since=20, last_refused=NOW)
    here = machine(routes=(own,))
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), by_status={"404": 20}))
    assert (("websocket-upgrade-missing", APP) in causes(here)) is is_told


UPGRADE = (("Upgrade", "$http_upgrade"),)


@pytest.mark.parametrize(
    ("headers", "own", "front", "expected"),
    [
        ((), {"101": 6, "404": 16}, {}, "dropped"),
        ((), {"404": 16}, {"101": 6, "404": 16}, "dropped"),
        ((), {"404": 16}, {"404": 16}, ""),
        ((), {"101": 40, "403": 16}, {}, ""),
        (UPGRADE, {"101": 6, "404": 16}, {}, "refused"),
        (UPGRADE, {"404": 16}, {"101": 60}, ""),
    ],
    ids=["opened before", "opened by the front", "never opened", "mostly opened", "by the application", "another application's"],
)
def test_handshakes_are_recognised_by_those_that_succeeded(
    headers: tuple[tuple[str, str], ...], own: dict[str, int], front: dict[str, int], expected: str
) -> None:
    """The name of the path does not show that it is for WebSockets; other pages of the route are served."""
    way = route(APP, 7, headers=headers, protocol="http", proxy="nginx", http_version="1.1")
    refused = PathTraffic(request="GET /orders", at=way.at, statuses=own, clients=6, refused_since=16, last_refused=NOW)
    pages = PathTraffic(request="GET /", at=way.at, statuses={"200": 60})
    outer = PathTraffic(server="www", request="GET /orders", statuses=front, clients=6, refused_since=16, last_refused=NOW)
    here = machine(routes=(way,))
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(refused, pages, outer), by_status={"404": 16, "200": 60}))
    assert (("websocket-upgrade-missing", APP) in causes(here)) is (expected == "dropped")
    assert any("WebSockets do not open" in check.detail for check in diagnose(here).checks) is (expected != "")


@pytest.mark.parametrize(("since", "clients", "is_told"), [(16, 7, True), (0, 7, False), (16, 1, False)])
def test_a_front_page_whose_script_is_not_found(since: int, clients: int, *, is_told: bool) -> None:
    own = route(SOCKET, 7, protocol="fastcgi")
    path = PathTraffic(request="GET /", at=own.at, statuses={"200": 25, "404": 16}, clients=clients, refused_since=since)
    here = machine(
        failing(Symptom.SCRIPT_NOT_FOUND, SOCKET, 41, detail="Primary script unknown", requests=(("GET /", 16),)), routes=(own,)
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), by_status={"200": 25, "404": 41}))
    assert (("fastcgi-script-not-found", SOCKET) in causes(here)) is is_told


@pytest.mark.parametrize("served", [NOW - timedelta(minutes=5), None])
def test_pages_that_scanners_ask_for_too_are_the_sites_own_where_they_were_served(served: datetime | None) -> None:
    """Every path of a Tomcat ends in .jsp, and all are refused since its restart."""
    own = route(APP, 7)
    refused = {"403": 30} | ({"200": 25} if served else {})
    paths = tuple(
        PathTraffic(
            request=f"GET /{name}.jsp",
            at=own.at,
            statuses=refused,
            clients=8,
            refused_since=30,
            last_refused=NOW,
            last_served=served,
        )
        for name in ("index", "hides")
    )
    logs = LogSummary(paths=paths, requests=110, has_access=True, by_status=refused)
    running = (Process(pid=10, name="nginx"), Process(pid=40, name="java"))
    here = REPLACE(machine(routes=(own,), processes=running, listeners=(Listener(target=APP, pids=(40,)),)), logs=logs)
    assert causes(here) == ([("application-error", APP)] if served else [])


@pytest.mark.parametrize(("overflows", "is_told"), [(0, False), (None, True)])
def test_a_machine_that_drops_everything_does_not_blame_the_database(overflows: int | None, *, is_told: bool) -> None:
    need = Dependency(target=APP, peer=Target(host="127.0.0.1", port=6379), connecting=2, busy=2, is_heard=True)
    here = machine(
        failing(Symptom.CONNECT_TIMED_OUT, APP, status=504),
        routes=(route(APP, 7),),
        processes=(Process(pid=10, name="nginx"), Process(pid=40, name="node")),
        listeners=(Listener(target=APP, pids=(40,)),),
        dependencies=(need,),
        kernel=Kernel(listen_overflows=overflows),
        logs=LogSummary(tallies=(failing(Symptom.CONNECT_TIMED_OUT, APP, status=504),), requests=100, has_access=True),
    )
    told = [item for item in CAUSES["backend-dependency-down"].examine(Case(here, target=APP)) if item.weight > 0]
    assert bool(told) is is_told


@pytest.mark.parametrize(("does", "is_told"), [(("INSERT waiting",) * 3, True), (("idle",) * 3, False)])
def test_sessions_that_wait_for_a_lock_while_the_workers_are_replaced(does: tuple[str, ...], *, is_told: bool) -> None:
    peer = Target(host="127.0.0.1", port=5432)
    here = machine(
        failing(Symptom.CLIENT_CLOSED, APP, 40, status=499),
        routes=(route(APP, 7),),
        dependencies=(Dependency(target=APP, peer=peer, is_heard=True, process="postgres", pid=86, does=does),),
    )
    assert (("backend-dependency-slow", APP) in causes(here)) is is_told


@pytest.mark.parametrize(
    ("request_", "cause"),
    [("GET /charts", "premature-close"), ("POST /charts", "keepalive-race")],
    ids=["retried", "not-retried"],
)
def test_connections_that_one_page_breaks_are_no_race_of_idle_ones(request_: str, cause: str) -> None:
    """nginx sends a GET again on another connection, so a race would show with POST alone."""
    own = route(APP, 7, protocol="http", proxy="nginx", keepalive=16, keepalive_timeout_s=60.0)
    path = PathTraffic(request="GET /", at=own.at, statuses={"200": 20}, last_served=NOW)
    here = machine(
        failing(Symptom.CLOSED_BEFORE_HEADER, APP, 12, requests=((request_, 12),)),
        routes=(own,),
        listeners=(Listener(target=APP, pids=(40,)),),
        processes=(Process(pid=40, name="node", started_at=NOW - timedelta(hours=1)),),
        probes=(Probe(target=APP, status=200, request="GET /", repeats=True, first_byte_s=0.01, at=NOW),),
    )
    assert here.logs is not None
    served = TargetTraffic(target=APP, attempts=40, failures=12, last_success=NOW, statuses={"200": 28, "502": 12})
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), targets=(served,)))
    assert causes(here)[0] == (cause, APP)


def test_each_server_ranks_before_no_server_left() -> None:
    """One instance is stopped, the other one hangs: nobody looks at the group first."""
    group = Upstream(name="apps", peers=tuple(Peer(name=str(target), target=target) for target in (APP, OTHER)))
    own = REPLACE(route(APP, 7), peers=group.peers, upstream="apps")
    empty = REPLACE(failing(Symptom.NO_LIVE_UPSTREAMS, APP, 40), target=None, group="apps")
    here = machine(
        failing(Symptom.CONNECT_REFUSED, APP, 4),
        failing(Symptom.READ_TIMED_OUT, OTHER, 8, status=504),
        empty,
        routes=(own,),
        listeners=(Listener(target=OTHER, pids=(40,)),),
        processes=(Process(pid=40, name="uvicorn"),),
        services=(Service(manager="systemd", name="a@1.service", is_running=False, state="inactive", targets=(APP,)),),
        probes=(
            Probe(target=APP, symptom=Symptom.CONNECT_REFUSED, at=NOW),
            Probe(target=OTHER, symptom=Symptom.READ_TIMED_OUT, at=NOW),
        ),
    )
    here = REPLACE(here, proxies=tuple(REPLACE(proxy, upstreams=(group,)) for proxy in here.proxies or ()))
    found = causes(here)
    assert ("backend-not-running", APP) in found[:2] and found[0][0] != "all-upstreams-down"


@pytest.mark.parametrize(
    ("words", "is_told"),
    [("TypeError: Cannot read properties of undefined (reading 'name')", True), ("Error: write EPIPE", False), ("", False)],
)
def test_a_page_whose_handler_fails_without_an_answer(words: str, *, is_told: bool) -> None:
    """A rejected promise that only the log hears of; errors of connections are effects of the wait."""
    own = route(APP, 7, read_timeout_s=10.0)
    late = failing(Symptom.READ_TIMED_OUT, APP, 15, status=504, requests=(("GET /api/invoice/99", 15),))
    paths = (
        PathTraffic(request="GET /api/invoice/*", at=own.at, statuses={"504": 15}),
        PathTraffic(at=own.at, statuses={"200": 42}, last_served=NOW),
    )
    error = Event(symptom=Symptom.APPLICATION_ERROR, message=words, detail=words, at=NOW, source="api-error.log", target=APP)
    here = machine(
        late,
        routes=(own,),
        listeners=(Listener(target=APP, pids=(40,)),),
        processes=(Process(pid=40, name="node", started_at=NOW - timedelta(hours=1)),),
        events=(error,) if words else (),
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=paths))
    assert (("application-error", APP) in causes(here)) is is_told
    against = [item for item in CAUSES["backend-too-slow"].examine(Case(here, target=APP)) if item.weight < 0]
    assert any("never answer" in item.message for item in against) is is_told


@pytest.mark.parametrize(
    ("full", "cause"), [("/var/lib/postgresql/15/main/pg_wal", "disk-full"), ("/srv/films", "backend-dependency-down")]
)
def test_a_volume_of_the_database_without_space(full: str, cause: str) -> None:
    detail = (
        'OperationalError: connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database system is in recovery mode'
    )
    own = route(APP, 7)
    path = PathTraffic(request="POST /order", at=own.at, statuses={"500": 20}, clients=8, refused_since=20, last_refused=NOW)
    here = machine(
        routes=(own,),
        events=(
            Event(symptom=Symptom.APPLICATION_ERROR, message=detail, detail=detail, at=NOW, source="log", target=APP, count=20),
        ),
        disks=(Disk(path=full, free_bytes=0, total_bytes=16 << 20, is_of_proxy=False),),
        listeners=(Listener(target=APP, pids=(40,)),),
        processes=(Process(pid=40, name="gunicorn"),),
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), by_status={"500": 20}))
    assert causes(here)[0] == (cause, APP)


@pytest.mark.parametrize(("families", "is_told"), [("AF_UNIX", True), ("AF_UNIX AF_INET", False), ("", False)])
def test_a_unit_that_may_not_connect_over_ip(families: str, *, is_told: bool) -> None:
    """libpq gives its error no text then; the unit's own property tells why."""
    detail = "psycopg2.OperationalError"
    own = route(APP, 7)
    path = PathTraffic(request="GET /", at=own.at, statuses={"500": 20}, clients=8, refused_since=20, last_refused=NOW)
    here = machine(
        routes=(own,),
        events=(
            Event(
                symptom=Symptom.APPLICATION_ERROR, message=detail, detail=detail, at=NOW, source="log", unit="a.service", count=20
            ),
        ),
        services=(
            Service(
                manager="systemd",
                name="a.service",
                is_running=True,
                targets=(APP,),
                settings={"RestrictAddressFamilies": families, "PrivateNetwork": "no"},
            ),
        ),
        listeners=(Listener(target=APP, pids=(40,)),),
        processes=(Process(pid=40, name="uwsgi", unit="a.service"),),
    )
    assert here.logs is not None
    here = REPLACE(here, logs=REPLACE(here.logs, paths=(path,), by_status={"500": 20}))
    assert (causes(here)[0] == ("backend-dependency-down", APP)) is is_told


def test_a_refused_header_is_placed_where_the_request_went() -> None:
    """Apache's words about the name of a header (AH02429) name no backend."""
    own = route(SOCKET, 7, server="", server_names=(), protocol="fastcgi", proxy="nginx")
    told = failing(Symptom.HEADER_INVALID, APP, 4, status=500, requests=(("GET /download.php", 4),))
    here = machine(REPLACE(told, target=None, server=""), routes=(own,))
    assert ("invalid-response", SOCKET) in causes(here)
