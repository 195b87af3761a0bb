"""What is checked, and what is not: from a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.model.config import Peer, Position, Route
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.network import Network
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Lookup, Resolution, Snapshot
from why502.model.target import Target
from why502.watch.checks.members import ACTIVATED, LOOP, NO_PROBE, OFF, Planned, has_names, planned, refreshed
from why502.watch.checks.settings import Checks, TargetCheck

NOW = datetime(2026, 11, 21, tzinfo=UTC)
A, B = Target(host="127.0.0.1", port=3000), Target(host="127.0.0.1", port=3001)


def to(*targets: Target, **fields: object) -> Route:
    peers = tuple(Peer(name=str(target), target=target) for target in targets)
    return Route(**{"passes": f"http://{targets[0]}", "peers": peers, "at": Position(file="a.conf", line=1), **fields})


def knows(*routes: Route, proxy: dict[str, object] | None = None, **fields: object) -> Snapshot:
    return Snapshot(**{"taken_at": NOW, "proxies": (Proxy(**{"pid": 1, "routes": routes, **(proxy or {})}),), **fields})


def checks(known: Snapshot, settings: Checks | None = None, **options: bool) -> list[Planned]:
    return list(planned(known, settings or Checks(), **options))


def test_each_member_of_each_group_once():
    api = to(A, B, upstream="app", location="/api/")
    found = checks(knows(api, to(A, B, upstream="app", location="/"), to(B)))
    assert [(one.key.group, one.key.peer) for one in found] == [("app", A), ("app", B), ("", B)]
    assert [one.request.path for one in found[:2]] == ["/", "/"], "the route nearest to / decides"
    assert all(one.request.connect_s == 2.0 and one.request.answer_s == 5.0 for one in found)


def test_each_address_of_a_name_is_a_member():
    name = Target(host="app.internal", port=80)
    names = (Resolution(name="app.internal", addresses=("10.0.0.1", "2001:db8::1")),)
    assert [str(one.key.peer) for one in checks(knows(to(name), names=names))] == ["10.0.0.1:80", "[2001:db8::1]:80"]


def test_a_name_without_an_address_fails_by_what_its_lookup_said():
    name = Target(host="app.internal", port=80)
    names = (Resolution(name="app.internal", outcome=Lookup.NOT_FOUND, detail="NXDOMAIN"),)
    (found,) = checks(knows(to(name), names=names))
    assert (found.key.peer, found.symptom, found.reason, found.request) == (name, Symptom.NAME_NOT_FOUND, "NXDOMAIN", None)
    (found,) = checks(knows(to(name), names=None))
    assert (found.symptom, found.reason) == (None, "the addresses of app.internal are unknown")


def test_a_visitors_request_is_never_repeated():
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, target=A, requests=(("GET /cart", 9),))
    (found,) = checks(knows(to(A), logs=LogSummary(tallies=(tally,))))
    assert (found.request.path, found.request.repeats) == ("/", False)


def test_a_path_that_may_have_done_harm_is_not_asked():
    tally = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, target=A, requests=(("GET /", 9),))
    (found,) = checks(knows(to(A), logs=LogSummary(tallies=(tally,))))
    assert found.request.only_connects


def test_members_that_must_not_be_asked_have_a_reason():
    assert [one.reason for one in checks(knows(to(A), proxy={"listens": (A,)}))] == [LOOP]
    assert [one.reason for one in checks(knows(to(A)), is_probing=False)] == [NO_PROBE]
    assert [one.reason for one in checks(knows(to(A)), Checks(off=True))] == [OFF]
    off = Checks(target=(TargetCheck(target="127.0.0.1:3000", off=True),))
    assert [one.reason for one in checks(knows(to(A, B)), off)] == [OFF, ""]
    assert all(one.request is None for one in checks(knows(to(A)), Checks(off=True)))


def test_a_member_is_asked_in_the_network_namespace_of_its_proxy():
    apart = Proxy(pid=7, network="4026532", routes=(to(A, B), to(Target(host="app.internal", port=80))))
    found = checks(Snapshot(taken_at=NOW, proxies=(apart, Proxy(pid=1, routes=(to(A),)))))
    networks = {str(one.key.peer): one.request.network_of for one in found if one.request}
    assert networks == {str(A): None, str(B): Network(pid=7, inode="4026532")}, "what we can ask ourselves goes first"
    names = (Resolution(name="app.internal", outcome=Lookup.NOT_FOUND, detail="NXDOMAIN"),)  # asked in ours
    (*_, unresolved) = checks(Snapshot(taken_at=NOW, proxies=(apart,), names=names))
    assert (unresolved.symptom, unresolved.reason) == (None, "the addresses of app.internal are unknown")


def test_a_socket_that_systemd_holds_alone_is_never_connected_to():
    (found,) = checks(knows(to(A), listeners=(Listener(target=A, pids=(1,), inode=7),)))
    assert (found.reason, found.request) == (ACTIVATED, None)


def test_a_socket_that_systemd_holds_too_is_looked_at_before_each_check():
    shared = Listener(target=A, pids=(1, 99), inode=7)
    (found,) = checks(knows(to(A), listeners=(shared,)))
    assert found.request is not None
    assert found.listeners == (shared,)
    (found,) = checks(knows(to(A), listeners=(Listener(target=A, pids=(99,), inode=7),)))
    assert found.listeners == ()


def test_what_the_user_sets_is_asked_and_expected():
    wish = TargetCheck(target="app", path="/live", body="fine", timeout_s=1.0)
    (found,) = checks(knows(to(A, upstream="app", uri="/base/")), Checks(target=(wish,)))
    assert (found.request.path, found.request.wanted, found.expected) == ("/live", "fine", wish)
    assert (found.request.connect_s, found.request.answer_s) == (1.0, 1.0)


def test_the_rate_of_a_members_requests():
    logs = LogSummary(has_access=True, targets=(TargetTraffic(target=A, attempts=90),))
    found = checks(knows(to(A, B), logs=logs, since=NOW - timedelta(seconds=900)))
    assert [one.requests_s for one in found] == [0.1, 0.0]
    found = checks(knows(to(A, B), logs=LogSummary(targets=(TargetTraffic(target=A, attempts=90),)), since=NOW))
    assert [one.requests_s for one in found] == [None, None], "without an access log it is unknown"


def test_proxies_that_do_not_run_and_peers_that_are_switched_off_have_no_checks():
    assert checks(knows(to(A), proxy={"pid": None})) == []
    assert checks(knows(Route(passes="http://app", peers=(Peer(name="a", target=A, is_down=True), Peer(name="$x"))))) == []


def test_five_hundred_members_are_all_checked():
    groups = [
        to(*(Target(host=f"10.0.{group}.{number}", port=80) for number in range(25)), upstream=f"g{group}") for group in range(20)
    ]
    found = checks(knows(*groups))
    assert len(found) == 500
    assert all(one.request for one in found)


def named(*addresses: str, **fields: object) -> Resolution:
    return Resolution(name="app.internal", addresses=addresses, **fields)


@pytest.mark.parametrize(
    ("kind", "fresh", "addresses"),
    [
        ("caddy", named("10.0.0.2"), ["10.0.0.2"]),  # it resolves for each connection
        ("nginx", named("10.0.0.2"), ["10.0.0.1"]),  # it did when it started: the old address is what it uses
        ("caddy", named(outcome=Lookup.TIMED_OUT), ["10.0.0.1"]),
        ("caddy", named(outcome=Lookup.NOT_FOUND), ["app.internal"]),
    ],
)
def test_addresses_follow_a_name_as_the_gateway_does(kind, fresh, addresses):
    known = knows(to(Target(host="app.internal", port=80)), names=(named("10.0.0.1"),), proxy={"kind": kind})
    assert has_names(known)
    assert [one.key.peer.host for one in checks(refreshed(known, [fresh]))] == addresses


def test_a_name_that_had_no_address_has_one_when_it_is_found():
    known = knows(to(Target(host="app.internal", port=80)), names=(named(outcome=Lookup.NOT_FOUND),))
    assert [str(one.key.peer) for one in checks(refreshed(known, [named("10.0.0.2")]))] == ["10.0.0.2:80"]
    assert [one.symptom for one in checks(refreshed(known, []))] == [None], "not asked is unknown"
