"""How long the store keeps what, and how large it becomes."""

from __future__ import annotations

import os
import sqlite3
import tracemalloc
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from observing import FAILURE, LOG, MINUTE, NOW, PEER, incident, observed

from why502.model.target import Target
from why502.watch.model import Batch, Change, ChangeKind, FailureKey, Limit, LimitKind, Member, Message, Observed, Transition
from why502.watch.store import OTHER, Counted, Ring, Store, file, retention

DAY = 1440


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.db"


def size(path: Path) -> int:
    return sum(found.stat().st_size for found in path.parent.glob("watch.db*"))


def test_minutes_hours_and_days_are_kept_as_long_as_stated(path: Path) -> None:
    with Store.open(path) as store:
        for day in range(0, 500, 10):
            store.commit(Batch(at=NOW + timedelta(days=day), observed=[observed(minute=MINUTE + day * DAY)]))
        store.commit(Batch(at=NOW + timedelta(days=491)))
        now = MINUTE + 491 * DAY
        oldest = {ring: min(start for start, _ in store.counts(Counted.FAILURES, 0, now + 1, ring)) for ring in Ring}
        assert now - oldest[Ring.MINUTE] <= 2 * DAY
        assert 21 * DAY <= now - oldest[Ring.HOUR] <= 35 * DAY
        assert 391 * DAY <= now - oldest[Ring.DAY] <= 400 * DAY
        assert store.totals().failures[FAILURE] == 50
        assert {start for start, _ in store.durations(0, now + 1, Ring.DAY)} == {
            start for start, _ in store.counts(Counted.FAILURES, 0, now + 1, Ring.DAY)
        }


def test_lines_of_long_ago_go_to_the_rings_that_reach_so_far(path: Path) -> None:
    with Store.open(path) as store:
        store.commit(Batch(at=NOW, observed=[observed(minute=MINUTE - 10 * DAY), observed(minute=MINUTE - 100 * DAY)]))
        assert [len(store.counts(Counted.FAILURES, 0, MINUTE, ring)) for ring in Ring] == [0, 1, 2]
        assert store.totals().failures[FAILURE] == 2


@pytest.mark.thorough
def test_thirty_days_leave_the_size_and_the_memory_flat(path: Path) -> None:
    """W49, by a simulated clock: a commit for each minute, incidents, messages and bundles among them."""
    keys = [FailureKey("nginx", f"shop.example/{number}", "127.0.0.1:3001", "refused") for number in range(5)]
    sizes: list[int] = []
    used: list[int] = []
    descriptors: list[int] = []
    tracemalloc.start()
    with Store.open(path) as store:
        for minute in range(0, 30 * DAY, 30):
            at = NOW + timedelta(minutes=minute)
            seen = observed(minute=MINUTE + minute, offset=minute)
            seen.failures = Counter({(MINUTE + minute, key): 1 for key in keys})
            batch = Batch(at=at, observed=[seen])
            if minute % 60 == 0:
                one = incident(f"i{minute % 4320}", failures=minute, closed_at=at)
                batch.incidents = [one]
                batch.messages = [
                    Message(key=f"m{minute}", receiver="mail", transition=Transition.OPENED, incident=one, made_at=at, sent_at=at)
                ]
                batch.limits = [Limit(kind=LimitKind.MEMORY, subject="app.service", at=at, used=1, limit=2)]
                batch.bundles = {one.id: os.urandom(2000)}
            store.commit(batch)
            if minute % DAY == DAY - 30:
                sizes.append(size(path))
                used.append(tracemalloc.get_traced_memory()[0])
                descriptors.append(len(os.listdir("/proc/self/fd")))
        tracemalloc.stop()
        assert sum(store.totals().failures.values()) == 30 * DAY // 30 * 5
        assert sum(store.counts(Counted.FAILURES, MINUTE, MINUTE + 30 * DAY, Ring.HOUR).values()) == 30 * DAY // 30 * 5
        assert sum(store.durations(MINUTE, MINUTE + 30 * DAY, Ring.DAY)[MINUTE - MINUTE % DAY + DAY, PEER].values()) == DAY // 30
    per_day = 24 * 7 * 40 + 24 * 600  # hours and days of the series, messages of 35 days: bytes that may come each day
    assert sizes[-1] - sizes[4] < 25 * per_day * 2
    assert max(sizes) < 12_000_000
    assert used[-1] - used[4] < 1_000_000
    assert descriptors[-1] == descriptors[0]


@pytest.mark.thorough
def test_the_size_is_bounded_by_the_oldest_details(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROOMY_BYTES", 3_000_000)
    with Store.open(path) as store:
        for number in range(60):
            at = NOW + timedelta(minutes=number)
            keys = [(MINUTE + number, FailureKey("nginx", f"/{key}", "", "refused")) for key in range(1000)]
            seen = Observed(log=LOG, proxy="nginx", failures=Counter(keys))
            store.commit(
                Batch(
                    at=at,
                    observed=[seen],
                    bundles={f"i{number}": os.urandom(200_000)},
                    incidents=[incident(f"i{number}", opened_at=at, closed_at=None if number == 0 else at)],
                )
            )
        assert retention.used_bytes(store._writer) < 3_500_000  # type: ignore[arg-type]
        assert sum(store.totals().failures.values()) == 60_000
        assert store.bundle("i59") is not None
        assert store.bundle("i0") is None
        assert store.incident("i0").is_open


def test_a_store_that_reached_its_limit_makes_room_and_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one minute, so that the usual deleting is not due."""
    monkeypatch.setattr(file, "FULL_BYTES", 2_000_000)
    monkeypatch.setattr(retention, "ROOMY_BYTES", 1_000_000)
    clock = iter(range(0, 10**9, 60))
    with Store.open(path, monotonic=lambda: float(next(clock))) as store:
        for second in range(40):
            at = NOW + timedelta(seconds=second)
            store.commit(Batch(at=at, observed=[observed()], bundles={f"i{second}": os.urandom(300_000)}))
        store.commit(Batch(at=at))
        assert store.behind_since is None
        assert store.totals().failures == {FAILURE: 40}
        assert store.totals().store_errors > 0
        assert store.bundle("i39") is not None
    assert path.stat().st_size <= 2_000_000


@pytest.mark.thorough
def test_a_file_that_was_large_becomes_small_again(path: Path) -> None:
    with Store.open(path) as store:
        for number in range(40):
            store.commit(Batch(at=NOW, bundles={f"i{number}": os.urandom(1_000_000)}))
        large = path.stat().st_size
        for minute in range(60):
            store.commit(Batch(at=NOW + timedelta(days=100, minutes=minute)))
    assert large > 35_000_000
    assert size(path) < large // 4


def test_at_most_200_bundles_are_kept(path: Path) -> None:
    with Store.open(path) as store:
        for number in range(300):
            store.commit(Batch(at=NOW + timedelta(minutes=number), bundles={f"i{number}": b"bundle"}))
        assert [store.bundle(f"i{number}") is not None for number in (0, 99, 100, 299)] == [False, False, True, True]


def test_series_that_ended_long_ago_are_counted_in_other(path: Path) -> None:
    """Pods: each day other targets."""
    with Store.open(path) as store:
        for day in range(80):
            minute = MINUTE + day * DAY
            key = FailureKey("nginx", "shop.example/", f"10.0.0.{day}:80", "refused")
            seen = Observed(
                log=LOG,
                proxy="nginx",
                failures=Counter({(minute, key): 3}),
                durations={(minute, PEER._replace(target=key.target)): Counter({640: 3})},
            )
            store.commit(Batch(at=NOW + timedelta(days=day), observed=[seen]))
        days = store.counts(Counted.FAILURES, MINUTE, MINUTE + 80 * DAY, Ring.DAY)
        assert sum(days.values()) == 240
        assert {key.target for _, key in days if isinstance(key, FailureKey)} == {
            OTHER,
            *(f"10.0.0.{day}:80" for day in range(44, 80)),
        }
        assert sum(sum(found.values()) for found in store.durations(MINUTE, MINUTE + 80 * DAY, Ring.DAY).values()) == 240
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM series").fetchone() < (80,)
    database.close()


def test_changes_members_and_limits_are_read_back(path: Path) -> None:
    change = Change(kind=ChangeKind.UNIT, subject="app.service", at=NOW, units=("app.service",))
    member = Member(proxy="nginx", group="app", peer=Target(host="127.0.0.1", port=3001))
    limit = Limit(kind=LimitKind.MEMORY, subject="app.service", at=NOW, used=1, limit=2)
    with Store.open(path) as store:
        store.commit(Batch(at=NOW, changes=[change], members=[member], limits=[limit]))
        assert (store.changes(), store.members(), store.limits()) == ([change], [member], [limit])
        assert store.changes(NOW + timedelta(seconds=1)) == []
        assert store.changes(None, NOW) == []
        store.commit(Batch(at=NOW + timedelta(days=2)))
        assert store.members() == []
        assert store.changes() == [change]
