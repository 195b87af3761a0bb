"""The running part: at most eight checks at once, updates, what it tells, and how it stops."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from members_of import peer
from nginx_real import until

from why502.collectors.base import Found
from why502.host.base import Host
from why502.host.local import LocalHost
from why502.model.config import Peer, Position, Route
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Lookup, Resolution, Snapshot
from why502.model.target import Target
from why502.watch.checks import checker as running
from why502.watch.checks.checker import Checker
from why502.watch.checks.members import Planned
from why502.watch.checks.rounds import AT_ONCE
from why502.watch.checks.settings import Checks
from why502.watch.checks.sight import Sight
from why502.watch.model import Blindness, CheckResult, Member, MemberStatus


def knows(*targets: Target, kind: str = "nginx", names: tuple[Resolution, ...] = ()) -> Snapshot:
    peers = tuple(Peer(name=str(target), target=target) for target in targets)
    route = Route(passes="http://app", peers=peers, upstream="app", at=Position(file="a.conf", line=1))
    return Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(kind=kind, pid=1, routes=(route,)),), names=names)


class Asked:
    """Answers checks, and counts those that run together. Checks wait while `is_open` is not set."""

    def __init__(self) -> None:
        self.lock, self.is_open = threading.Lock(), threading.Event()
        self.is_open.set()
        self.counts: Counter[Target] = Counter()
        self.together = self.most = 0
        self.symptom: Symptom | None = None

    def __call__(self, _: Host, planned: Planned) -> CheckResult:
        with self.lock:
            self.together += 1
            self.most = max(self.most, self.together)
        self.is_open.wait(20)
        with self.lock:
            self.together -= 1
            self.counts[planned.key.peer] += 1
        key = planned.key
        return CheckResult(proxy=key.proxy, group=key.group, peer=key.peer, at=datetime.now(UTC), symptom=self.symptom)


@pytest.fixture
def asked():
    made = Asked()
    yield made
    made.is_open.set()


def at_once(known: Snapshot, asked: Asked, **fields: object) -> Checker:
    """A checker whose first checks are due together and which repeats them every second."""
    put = fields.pop("put", lambda _: None)
    return Checker(LocalHost(), known, Checks(interval_s=1.0, quick_s=1.0), put, ask=asked, chance=lambda: 0.0, **fields)


def test_at_most_eight_run_together_and_all_are_reported(asked):
    found: list[Member] = []
    targets = [peer(number) for number in range(100)]
    checker = at_once(knows(*targets), asked, put=found.append)
    asked.is_open.clear()
    checker.start()
    until(lambda: asked.together == AT_ONCE, "eight are running")
    asked.is_open.set()
    until(lambda: set(asked.counts) == set(targets), "all were checked")
    until(lambda: {one.peer for one in found} == set(targets), "all were reported")
    checker.stop()
    assert asked.most == AT_ONCE
    assert {one.status for one in checker.members} == {MemberStatus.UP}


def test_it_stops_at_once_although_a_check_hangs(asked):
    found: list[Member] = []
    checker = at_once(knows(peer(0)), asked, put=found.append)
    asked.is_open.clear()
    checker.start()
    until(lambda: asked.together == 1, "it is running")
    began = time.monotonic()
    checker.stop()
    assert time.monotonic() - began < 2
    asked.is_open.set()
    until(lambda: asked.together == 0, "it has ended")
    assert found == [], "what ends after the stop is not reported"


def test_an_update_adds_and_removes_members(asked):
    checker = at_once(knows(peer(0), peer(1)), asked)
    checker.start()
    until(lambda: asked.counts[peer(0)] and asked.counts[peer(1)], "both are checked")
    checker.update(knows(peer(1), peer(2)))
    until(lambda: asked.counts[peer(2)], "the new one is checked")
    assert [one.peer for one in checker.members] == [peer(1), peer(2)]
    assert checker.members[0].status is MemberStatus.UP
    checker.stop()


def test_members_are_as_before_a_restart_and_old_ones_are_unknown(asked):
    now = datetime.now(UTC)
    fresh = CheckResult(proxy="nginx", group="app", peer=peer(0), at=now, symptom=Symptom.CONNECT_REFUSED)
    down = Member(proxy="nginx", group="app", peer=peer(0), status=MemberStatus.DOWN, since=now, last=fresh)
    old = Member(proxy="nginx", group="app", peer=peer(1), status=MemberStatus.DOWN, since=now)
    checker = at_once(knows(peer(0), peer(1)), asked, members=(down, old))
    assert [one.status for one in checker.members] == [MemberStatus.DOWN, MemberStatus.UNKNOWN]


@pytest.mark.thorough
def test_it_is_settled_when_each_member_has_a_result_and_none_is_in_doubt(asked):
    began = datetime.now(UTC)
    asked.symptom = Symptom.CONNECT_REFUSED
    checker = at_once(knows(peer(0), peer(1)), asked)
    assert not checker.is_settled(began)
    checker.start()
    until(lambda: all(one.last for one in checker.members), "each has a result")
    until(lambda: checker.is_settled(began), "three refusals settle it")
    checker.stop()
    assert {one.status for one in checker.members} == {MemberStatus.DOWN}
    assert min(asked.counts.values()) >= 3


def test_without_probes_every_member_is_unknown_and_nothing_is_sent():
    found: list[Member] = []
    checker = Checker(LocalHost(), knows(peer(0)), Checks(interval_s=1.0), found.append, is_probing=False)
    checker.start()
    until(lambda: found, "it is reported")
    checker.stop()
    assert found[0].status is MemberStatus.UNKNOWN
    assert found[0].last is not None
    assert found[0].last.reason == "not checked: --no-probe"


class Blind(Sight):
    """A network that fails for everything that is out of reach."""

    def judged(self, result: CheckResult, now_s: float) -> CheckResult:
        self.reason = "no route" if result.symptom else ""
        return result


@pytest.mark.thorough
def test_it_tells_once_when_the_network_fails_and_once_when_it_works(asked):
    told: list[Blindness] = []
    asked.symptom = Symptom.CONNECT_TIMED_OUT
    checker = at_once(knows(peer(0), peer(1)), asked, tell=told.append, sight=Blind(LocalHost()))
    checker.start()
    until(lambda: asked.counts.total() >= 4, "several failed")
    asked.symptom = None
    until(lambda: len(told) == 2, "it works again")
    checker.stop()
    assert [one.reason for one in told] == ["no route", ""]


def test_the_addresses_of_a_name_are_asked_again(asked, monkeypatch):
    monkeypatch.setattr(running, "NAMES_S", 0.05)
    found = Found((Resolution(name="app.internal", addresses=("10.0.0.9",)),))
    monkeypatch.setattr(running.names, "collect", lambda *_: found)
    missing = (Resolution(name="app.internal", outcome=Lookup.NOT_FOUND),)
    checker = at_once(knows(Target(host="app.internal", port=80), names=missing), asked)
    assert [one.peer.host for one in checker.members] == ["app.internal"]
    checker.start()
    until(lambda: asked.counts[Target(host="10.0.0.9", port=80)], "its address is checked")
    checker.stop()
    assert [one.peer.host for one in checker.members] == ["10.0.0.9"]


def test_checks_that_all_hang_make_no_progress(asked, monkeypatch):
    monkeypatch.setattr(running, "IDLE_S", 0.01)
    beats: list[str] = []
    waits: list[float] = []
    wait_s = Checker._wait_s

    def counted(self: Checker) -> float:
        waits.append(wait_s(self))
        return waits[-1]

    monkeypatch.setattr(Checker, "_wait_s", counted)
    checker = at_once(knows(*(peer(number) for number in range(9))), asked, beat=lambda name, *_, **__: beats.append(name))
    asked.is_open.clear()
    checker.start()
    until(lambda: asked.together == AT_ONCE, "eight are running")
    said, waited = len(beats), len(waits)
    until(lambda: len(waits) > waited + 5, "it only waits")
    assert len(beats) <= said + 1
    asked.is_open.set()
    until(lambda: len(beats) > said + 1, "it goes on")
    checker.stop()
    assert set(beats) == {"checks"}
