"""Counts by the minute, packed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from why502.logs.scan.breakdown import summed
from why502.logs.scan.minutes import Minutes

_ENTRIES = st.lists(st.tuples(st.integers(-1, 5_000_000_000) | st.integers(-1, 20), st.integers(1, 1000)), max_size=60)


def made(entries: list[tuple[int, int]]) -> Minutes:
    found = Minutes()
    for minute, count in entries:
        found.add(minute, count)
    return found


def counted(entries: list[tuple[int, int]]) -> dict[int, int]:
    found: Counter[int] = Counter()
    for minute, count in entries:
        found[minute] += count
    return dict(sorted(found.items()))


@given(_ENTRIES, _ENTRIES)
def test_counts_as_a_counter_does_in_whatever_order(some: list[tuple[int, int]], more: list[tuple[int, int]]) -> None:
    one = made(some)
    one.update(made(more))
    assert dict(one.items()) == counted(some + more)
    assert one == made(more + some)
    assert one.total() == sum(count for _, count in some + more)
    assert len(one) == len(counted(some + more))
    if some:
        assert one.span() == (min(counted(some + more)), max(counted(some + more)))


def test_what_waits_is_summed_up_before_it_is_much() -> None:
    one = Minutes()
    for number in range(100_000):
        one.add(number % 7)
    assert dict(one.items()) == {minute: 100_000 // 7 + (minute < 100_000 % 7) for minute in range(7)}
    assert len(one._entries) == 7


def test_hours_are_sums_of_minutes() -> None:
    assert summed([(59, 1), (60, 2), (119, 3), (120, 4)], 60) == {0: 1, 60: 5, 120: 4}
