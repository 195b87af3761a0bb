"""How many series there may be, and which are shown."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from observing import LOG, MINUTE, NOW

from why502.watch.model import AttemptKey, Batch, Configured, FailureKey, LocationKey, Observed, RequestKey, TargetKey
from why502.watch.store import OTHER, Store
from why502.watch.store.series import LIMIT, LONGEST, Counted, clean_key, columns, key_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.db"


def failures(*keys: FailureKey, minute: int = MINUTE) -> Observed:
    return Observed(log=LOG, proxy="nginx", failures=Counter({(minute, key): 2 for key in keys}))


def failing(number: int) -> FailureKey:
    return FailureKey("nginx", f"shop.example/{number}", f"10.0.{number // 256}.{number % 256}:80", "refused")


def test_more_series_than_the_limit_are_counted_together(path: Path) -> None:
    """W24: 5,000 targets and paths; every failure is counted, and only 2,000 series are made."""
    with Store.open(path) as store:
        for second in range(3):
            store.commit(Batch(at=NOW + timedelta(seconds=second), observed=[failures(*map(failing, range(5000)))]))
        found = store.totals()
        assert len(found.failures) == LIMIT + 1
        assert found.failures[FailureKey("nginx", OTHER, OTHER, "refused")] == found.overflow == 3000 * 6
        assert sum(found.failures.values()) == 5000 * 6
        before = found.failures
    with Store.open(path) as store:
        store.commit(Batch(at=NOW + timedelta(seconds=3), observed=[failures(failing(0), failing(4999))]))
        found = store.totals()
        assert found.failures[failing(0)] == before[failing(0)] + 2
        assert len(found.failures) == LIMIT + 1
        assert found.overflow == 3000 * 6 + 2


def test_a_series_that_is_quiet_for_an_hour_gives_up_its_place(path: Path) -> None:
    with Store.open(path) as store:
        store.commit(Batch(at=NOW, observed=[failures(*map(failing, range(LIMIT)))]))
        store.commit(Batch(at=NOW + timedelta(minutes=59), observed=[failures(failing(9000))]))
        store.commit(Batch(at=NOW + timedelta(minutes=62), observed=[failures(failing(9001))]))
        found = store.totals().failures
        assert failing(9000) not in found
        assert found[failing(9001)] == 2


def test_series_of_removed_targets_end_after_an_hour_and_no_counter_goes_back(path: Path) -> None:
    """W44, and `counters of gone targets stay 1 h`."""
    peer, location = TargetKey("nginx", "10.0.0.1:80"), LocationKey("nginx", "shop.example/")
    attempt = AttemptKey(*peer, "ok")
    request = RequestKey(*location, "2xx")
    with Store.open(path) as store:
        seen = Observed(
            log=LOG, proxy="nginx", attempts=Counter({(MINUTE, attempt): 5}), requests=Counter({(MINUTE, request): 5})
        )
        both = Configured(targets=frozenset({peer}), locations=frozenset({location}))
        store.commit(Batch(at=NOW, observed=[seen], configured=both))
        later = NOW + timedelta(hours=30)
        found = store.totals(later)
        assert (found.attempts, found.requests) == ({attempt: 5}, {request: 5})
        assert (found.targets, found.locations) == ({peer: None}, {location: None})
        store.commit(Batch(at=later, configured=Configured(locations=frozenset({location}))))
        found = store.totals(later + timedelta(minutes=59))
        assert (found.attempts, found.requests) == ({attempt: 5}, {request: 5})
        assert found.targets == {peer: later.timestamp()}
        found = store.totals(later + timedelta(minutes=61))
        assert (found.attempts, found.requests) == ({}, {request: 5})
        assert found.targets == {}
        store.commit(Batch(at=later + timedelta(hours=2), observed=[seen], configured=both))
        assert store.totals(later + timedelta(hours=2)).attempts == {attempt: 10}


def test_keys_are_bounded_clean_and_of_their_own_kind() -> None:
    assert clean_key(AttemptKey("a", "b", "c")) == ("a", "b", "c")
    assert isinstance(clean_key(AttemptKey("a", "b", "c")), AttemptKey)
    assert isinstance(clean_key(RequestKey("a", "b", "c")), RequestKey)
    assert len(clean_key(RequestKey("nginx", "x" * 10_000, "502")).location) == LONGEST
    assert "hunter2" not in str(clean_key(RequestKey("nginx", "shop/?password=hunter2hunter2", "502")))


@pytest.mark.parametrize(
    ("counted", "key"),
    [
        (Counted.REQUESTS, RequestKey("nginx", "shop/", "502")),
        (Counted.FAILURES, failing(1)),
        (Counted.ATTEMPTS, AttemptKey("nginx", "a:1", "ok")),
        (Counted.RECOVERED, TargetKey("nginx", "a:1")),
        (Counted.DURATIONS, TargetKey("nginx", "a:1")),
    ],
)
def test_a_key_is_read_as_it_was_written(counted: Counted, key: RequestKey) -> None:
    found = key_of(counted, columns(key))
    assert (found, type(found)) == (key, type(key))
