"""Case: one target, joined from the sections of a snapshot. "Not looked at" must never become "nothing there"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.located import BESIDE
from why502.diagnosis.routed import Vantage
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.file_kind import FileKind
from why502.model.logs import LogSummary, PathTraffic, Phase, Symptom, Tally, TargetTraffic
from why502.model.probe import CONNECT, Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Listener, Pressure, Resolution, Snapshot, SocketPath
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=3000)
AWAY = Target(host="10.0.0.9", port=80)
SOCKET = Target(path="/run/app.sock")
REPLACE = msgspec.structs.replace


def route(*peers: Target, line: int = 3, **changes: object) -> Route:
    members = tuple(Peer(name=str(peer), target=peer) for peer in peers)
    return REPLACE(Route(peers=members, at=Position(file="/etc/nginx/nginx.conf", line=line)), **changes)


def here(*routes: Route, tallies: tuple[Tally, ...] = (), targets: tuple[TargetTraffic, ...] = (), **changes: object) -> Snapshot:
    proxy = Proxy(pid=10, routes=routes or (route(APP),))
    logs = LogSummary(tallies=tallies, targets=targets, has_access=True)
    return REPLACE(Snapshot(taken_at=NOW, proxies=(proxy,), addresses=("127.0.0.1", "192.0.2.1"), logs=logs), **changes)


def failing(symptom: Symptom = Symptom.CONNECT_REFUSED, target: Target | None = APP, **changes: object) -> Tally:
    return REPLACE(Tally(symptom=symptom, target=target, count=3, last=NOW), **changes)


@pytest.mark.parametrize(
    ("target", "is_local"),
    [(APP, True), (SOCKET, True), (None, True), (Target(host="192.0.2.1", port=80), True), (AWAY, False)],
)
def test_where_a_target_lies(target: Target | None, is_local: bool) -> None:
    one, there = here(), Snapshot(taken_at=NOW)
    assert Case(one, target=target).is_local is is_local
    assert Case(one, target=target).host is (one if is_local else None)
    assert Case(one, (Vantage(there),), target=target).host is (one if is_local else there)


def test_listeners_that_were_not_looked_at_are_unknown() -> None:
    assert Case(here(), target=APP).listeners is None
    assert Case(here(listeners=()), target=APP).listeners == ()
    mine = Listener(target=APP, pids=(30,))
    assert Case(here(listeners=(mine, Listener(target=AWAY))), target=APP).listeners == (mine,)
    assert Case(here(listeners=(mine,)), target=AWAY).listeners is None  # of another machine


def test_a_listener_that_was_not_recognized_is_unknown_where_the_target_answers() -> None:
    probe = Probe(target=APP, request="HEAD /", status=200)
    assert Case(here(listeners=(), probes=(probe,)), target=APP).listeners is None


def test_listeners_of_another_namespace_take_no_connection() -> None:
    other = Listener(target=APP, pids=(30,), network="4026532001")
    assert Case(here(listeners=(other,)), target=APP).listeners == ()


def test_a_wildcard_takes_what_is_sent_to_loopback_and_another_address_only_has_the_port() -> None:
    wild = Listener(target=Target(host="0.0.0.0", port=3000))
    assert Case(here(listeners=(wild,)), target=APP).listeners == (wild,)
    away = Listener(target=Target(host="192.0.2.1", port=3000))
    case = Case(here(listeners=(away,)), target=APP)
    assert (case.listeners, case.same_port) == ((), (away,))


@pytest.mark.parametrize(
    ("probes", "answers"),
    [
        ((), None),
        ((Probe(target=APP, request=CONNECT),), None),  # an open connection alone is not an answer
        ((Probe(target=APP, request="HEAD /", status=200),), True),
        ((Probe(target=APP, request="HEAD /", status=200), Probe(target=APP, symptom=Symptom.READ_TIMED_OUT)), False),
        ((Probe(target=AWAY, request="HEAD /", status=200),), None),
    ],
)
def test_whether_it_answers_now(probes: tuple[Probe, ...], answers: bool | None) -> None:
    assert Case(here(probes=probes), target=APP).answers_now is answers


@pytest.mark.parametrize(("kind", "symptom"), [("missing", Symptom.SOCKET_PATH_MISSING), ("socket", Symptom.CONNECT_REFUSED)])
def test_without_a_probe_a_missing_listener_predicts_its_result(kind: str, symptom: Symptom) -> None:
    one = here(route(SOCKET), listeners=(), socket_paths=(SocketPath(path=SOCKET.path, kind=FileKind(kind)),))
    assert [probe.symptom for probe in Case(one, target=SOCKET).probes] == [symptom]
    assert Case(one, target=SOCKET, offline=True).probes == ()


def test_the_route_that_failed_most_is_meant() -> None:
    shop, pay = (
        route(APP, line=line, server=name, server_names=(name,)) for line, name in ((3, "shop.example"), (9, "pay.example"))
    )
    tallies = (failing(server="shop.example", count=1), failing(server="pay.example", count=9))
    assert Case(here(shop, pay, tallies=tallies), target=APP).route == pay
    assert Case(here(shop, pay), target=APP).route == shop
    assert Case(here(route(AWAY)), target=APP).route is None


def test_the_peer_and_the_group_of_a_target() -> None:
    group = Upstream(name="app", peers=(Peer(name=str(APP), target=APP), Peer(name=str(AWAY), target=AWAY)))
    one = here(route(APP, AWAY, upstream="app"))
    one = REPLACE(one, proxies=(REPLACE((one.proxies or ())[0], upstreams=(group,)),))
    case = Case(one, target=AWAY)
    assert case.peer is not None and case.peer.target == AWAY
    assert case.group == group
    assert Case(one, target=SOCKET).group is None


def test_the_protocol_is_that_of_the_route_else_of_the_log() -> None:
    assert Case(here(route(APP, protocol="fastcgi")), target=APP).protocol == "fastcgi"
    assert Case(here(tallies=(failing(target=AWAY, protocol="grpc"),)), target=AWAY).protocol == "grpc"
    assert Case(here(), target=AWAY).protocol == ""


def test_tallies_of_one_symptom_are_summed_and_those_of_others_left_out() -> None:
    tallies = (
        failing(count=2, phase=Phase.CONNECT),
        failing(count=5),
        failing(Symptom.READ_TIMED_OUT),
        failing(target=AWAY, count=70),
    )
    case = Case(here(tallies=tallies), target=APP)
    found = case.tally(Symptom.CONNECT_REFUSED)
    assert found is not None and found.count == 7
    assert case.tally(Symptom.CLIENT_CLOSED) is None
    assert case.seen(Symptom.READ_TIMED_OUT) and not case.seen(Symptom.CLIENT_CLOSED)
    assert sum(tally.count for tally in case.anywhere(Symptom.CONNECT_REFUSED)) == 77


def test_the_traffic_is_that_of_the_target() -> None:
    mine, other = TargetTraffic(target=APP, attempts=5), TargetTraffic(target=AWAY, attempts=7)
    one = here(targets=(other, mine))
    assert Case(one, target=APP).traffic == mine
    assert Case(one).traffic is None


def test_the_pressure_is_that_of_the_machine_and_of_the_backends_own_group() -> None:
    machine, own, other = Pressure(), Pressure(scope="/app"), Pressure(scope="/db")
    one = here(
        pressure=(machine, own, other),
        listeners=(Listener(target=APP, pids=(30,)),),
        processes=(Process(pid=30, name="app", cgroup="/app"), Process(pid=40, name="postgres", cgroup="/db")),
    )
    assert Case(one, target=APP).pressure == (machine, own)
    assert Case(REPLACE(one, pressure=None), target=APP).pressure == ()


def test_a_pool_of_another_user_does_not_serve_roots_gateway() -> None:
    mine, theirs = (PhpPool(name=name, target=APP, owner_uid=uid) for name, uid in (("www", 0), ("evil", 1000)))
    assert Case(here(php_pools=(theirs, mine)), target=APP).pools == (mine,)


@pytest.mark.parametrize(
    "argv", [("/usr/bin/python3", "/usr/bin/why502", "watch"), ("python3", "-m", "why502", "watch"), ("/opt/why502", "watch")]
)
def test_our_own_daemon_is_no_stray(argv: tuple[str, ...]) -> None:
    """It serves /metrics, and nobody's proxy means that."""
    own = Listener(target=Target(host="127.0.0.1", port=9502), pids=(30,))
    processes = (Process(pid=30, name=argv[0].rpartition("/")[2], argv=argv),)
    assert Case(here(listeners=(own,), processes=processes), target=APP).unclaimed_listeners == ()


def test_strays_are_applications_that_no_route_names() -> None:
    stray, system = Listener(target=Target(host="127.0.0.1", port=3001), pids=(30,)), Listener(target=AWAY, pids=(40,))
    processes = (Process(pid=30, name="node"), Process(pid=40, name="postgres"), Process(pid=10, name="nginx"))
    case = Case(
        here(listeners=(stray, system, Listener(target=Target(host="0.0.0.0", port=80), pids=(10,))), processes=processes),
        target=APP,
    )
    assert case.unclaimed_listeners == (stray,)
    assert case.has_stray


@pytest.mark.parametrize(("before", "beside"), [(BESIDE + timedelta(seconds=5), True), (-timedelta(seconds=5), False)])
def test_who_listened_while_the_target_still_answered_is_another_application(before: timedelta, beside: bool) -> None:
    served = NOW - timedelta(minutes=5)
    stray = Listener(target=Target(host="127.0.0.1", port=3001), pids=(30,))
    traffic = TargetTraffic(target=APP, attempts=9, failures=1, last_success=served)
    one = here(
        listeners=(stray,),
        targets=(traffic,),
        tallies=(failing(),),
        processes=(Process(pid=30, name="node", started_at=served - before),),
    )
    assert Case(one, target=APP).was_beside(stray) is beside


@pytest.mark.parametrize(("targets", "answered"), [((), NOW), ((TargetTraffic(target=APP, attempts=9, failures=9),), None)])
def test_an_error_page_with_a_good_status_is_no_answer_of_the_target(
    targets: tuple[TargetTraffic, ...], answered: datetime | None
) -> None:
    """What clients got tells of the target only where the log does not name it."""
    place = Position(file="nginx.conf", line=3)
    paths = (PathTraffic(location="/", at=place, statuses={"200": 9}, last_served=NOW),)
    one = here(REPLACE(route(APP), at=place), logs=LogSummary(targets=targets, paths=paths, has_access=True))
    assert Case(one, target=APP).last_answered == answered


def test_the_targets_of_a_name() -> None:
    mine, other = Resolution(name="app.example", addresses=("10.0.0.9",)), Resolution(name="db.example")
    assert Case(here(names=(mine, other)), target=AWAY).resolutions("app.example") == (mine,)
    assert Case(here(), target=AWAY).resolutions("app.example") == ()


def test_a_second_case_shares_the_joins_of_the_first() -> None:
    one = here()
    first = Case(one, target=APP)
    assert Case(one, target=AWAY, index=first.joins).joins is first.joins
