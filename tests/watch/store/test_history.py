"""What a page asks of the store: sums of incidents, of series, of one target, and the configuration in force."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

from observing import ATTEMPT, FAILURE, MINUTE, NOW, PEER, REQUEST, incident, observed

from why502.model.finding import Finding, Layer
from why502.watch.model import Batch, Configured, Diagnosed, Incident, Occasion, OwnerKey, PeerKey, RouteKey, TargetKey
from why502.watch.store import Counted, Ring, Store, history
from why502.watch.store.history import By, Group
from why502.watch.store.reading import Wanted

ALL = Wanted(is_open=None, since=None, until=None, cause="", target="", text="")


def of(id_: str, cause: str, days: float, minutes: float | None, target: str = "10.0.0.7:80") -> Incident:
    opened_at = NOW - timedelta(days=days)
    found = Finding(cause=cause, layer=Layer.PROXY, confidence=0.9, message=cause)
    return incident(
        id_,
        opened_at=opened_at,
        target=target,
        closed_at=None if minutes is None else opened_at + timedelta(minutes=minutes),
        diagnosed=(Diagnosed(at=opened_at, occasion=Occasion.OPENED, finding=found),) if cause else (),
    )


def test_incidents_are_summed_by_cause_target_and_week(tmp_path: Path) -> None:
    with Store.open(tmp_path / "watch.db") as store:
        made = [of("a", "wrong-port", 0.5, 30), of("b", "wrong-port", 8, 90), of("c", "", 1 / 24, None, "")]
        store.commit(Batch(at=NOW, incidents=made))

        def groups(by: By, wanted: Wanted = ALL) -> list[Group]:
            return store.ask(partial(history.groups, by=by, wanted=wanted, now=NOW))

        assert groups(By.CAUSE) == [
            Group(name="wrong-port", count=2, open=0, seconds=7200),
            Group(name="", count=1, open=1, seconds=3600),
        ]
        assert {one.name: one.count for one in groups(By.TARGET)} == {"10.0.0.7:80": 2, "": 1}
        # 2026-11-21 is a Saturday; a week is named by its Monday
        assert [(one.name, one.count) for one in groups(By.WEEK)] == [("2026-11-09", 1), ("2026-11-16", 2)]
        part = Wanted(is_open=None, since=NOW - timedelta(minutes=30), until=NOW, cause="", target="", text="")
        assert groups(By.CAUSE, part) == [Group(name="", count=1, open=1, seconds=1800)]
        assert store.ask(partial(history.count, wanted=ALL)) == 3 and store.ask(partial(history.count, wanted=part)) == 1


def test_series_are_summed_over_a_time(tmp_path: Path) -> None:
    with Store.open(tmp_path / "watch.db") as store:
        assert store.ask(history.newest) is None
        store.commit(Batch(at=NOW, observed=[observed(3), observed(4, minute=MINUTE - 1), observed(5, minute=MINUTE - 90)]))
        for counted, key in (
            (Counted.REQUESTS, REQUEST),
            (Counted.FAILURES, FAILURE),
            (Counted.ATTEMPTS, ATTEMPT),
            (Counted.RECOVERED, PEER),
        ):

            def ask(since: int, ring: Ring, target: str = "", counted: Counted = counted) -> object:
                summed = partial(history.summed, counted=(counted,), since=since, until=MINUTE + 1, ring=ring, target=target)
                return store.ask(summed)[counted]

            assert ask(MINUTE - 1, Ring.MINUTE) == {key: 7} and ask(MINUTE, Ring.MINUTE) == {key: 3}
            assert ask(MINUTE - 120, Ring.HOUR) == {key: 12}
            of_target = {key: 7} if counted is not Counted.REQUESTS else {}
            assert ask(MINUTE - 1, Ring.MINUTE, PEER.target) == of_target and ask(MINUTE - 1, Ring.MINUTE, "nowhere") == {}
        asked = {"since": MINUTE - 1, "until": MINUTE + 1, "ring": Ring.MINUTE}
        times = store.ask(partial(history.durations, **asked))  # type: ignore[arg-type]
        assert times.keys() == {PEER} and times[PEER].total() == 7
        assert store.ask(partial(history.durations, **asked, target=PEER.target)) == times  # type: ignore[arg-type]
        assert store.ask(partial(history.durations, **asked, target="nowhere")) == {}  # type: ignore[arg-type]
        every = Counter[int]()
        for each in store.durations(MINUTE - 1, MINUTE + 1).values():
            every.update(each)
        assert times[PEER] == every, "the same as each interval, added up"
        one = store.ask(partial(history.attempts_of, target=PEER.target, **asked))  # type: ignore[arg-type]
        assert sorted(one) == [(MINUTE - 1, ATTEMPT, 4), (MINUTE, ATTEMPT, 3)]
        assert sum(found.total() for _, _, found in store.ask(partial(history.durations_of, target=PEER.target, **asked))) == 7  # type: ignore[arg-type]
        assert store.ask(partial(history.attempts_of, target="nowhere", **asked)) == []  # type: ignore[arg-type]
        assert store.ask(history.newest) == NOW


def test_the_routes_of_the_configuration_in_force_are_kept_without_secrets_until_they_go(tmp_path: Path) -> None:
    route, direct = RouteKey("nginx", 'a"/\n', "shop", ""), RouteKey("nginx", "b/?token=abcdefabcdef12345678", "", "10.0.0.8:80")
    peers = frozenset({PeerKey("nginx", "shop", "10.0.0.7:80"), PeerKey("nginx", "shop", "unix:/run/a b.sock")})
    owners = frozenset({OwnerKey("nginx", "10.0.0.7:80", "shop.service"), OwnerKey("nginx", "10.0.0.7:80", "pid 17")})
    with Store.open(tmp_path / "watch.db") as store:
        named = Configured(
            targets=frozenset({TargetKey("nginx", "10.0.0.7:80")}), routes=frozenset({route, direct}), peers=peers, owners=owners
        )
        store.commit(Batch(at=NOW, configured=named))
        found = store.ask(history.configured)
        assert found.peers == peers and found.owners == owners and found.targets == named.targets and route in found.routes
        (other,) = found.routes - {route}
        assert other.target == "10.0.0.8:80" and "abcdefabcdef12345678" not in other.location
        assert store.totals().locations == {}, "routes are not counters"
        store.commit(Batch(at=NOW, configured=Configured(routes=frozenset({direct}))))
        assert store.ask(history.configured).routes == {other} and not store.ask(history.configured).peers
