"""Sums, bounds and buckets of the counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.logs.scan import counts, histogram
from why502.logs.scan.counts import REST, Counts, Ranking
from why502.logs.scan.histogram import bucket, middle


@given(st.integers(0, histogram.LONGEST_MICROS))
def test_a_bucket_tells_a_time_to_within_a_hundred_and_twenty_eighth(micros: int) -> None:
    assert abs(middle(bucket(micros)) - micros) <= micros / 128
    assert bucket(micros) <= bucket(micros + 1)


def ranking(**totals: int) -> Ranking:
    found = Ranking()
    found.total.update(totals)
    return found


def test_gives_up_the_rarest_that_never_failed_and_says_how_much_may_lack() -> None:
    one = ranking(a=100, b=3, c=2, d=1, e=50)
    one.failed["d"] = 1
    gone = one.prune(4)
    assert gone == {"b", "c", "e"}
    assert one.total == {"a": 100, "d": 1, REST: 55}
    assert one.lost == 50
    assert one.total.total() == 156


@pytest.mark.parametrize("is_exact", [False, True])
def test_exact_counts_give_up_nothing(monkeypatch: pytest.MonkeyPatch, is_exact: bool) -> None:
    monkeypatch.setattr(counts, "MOST_KEYS", 10)
    one = Counts(is_exact=is_exact)
    for number in range(30):
        one.clients.add(f"10.0.0.{number}", failed=False)
    one.prune()
    assert len(one.clients.total) == (30 if is_exact else 6)
    assert one.clients.total.total() == 30
