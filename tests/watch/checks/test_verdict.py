"""When results change the status of a member."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from members_of import BAD, BLIND, GOOD, NOON, member

from why502.watch.checks.settings import Checks
from why502.watch.checks.verdict import after, restored, verdict_of
from why502.watch.model import MemberStatus

SETTINGS = Checks()
UP, DOWN, UNKNOWN = MemberStatus.UP, MemberStatus.DOWN, MemberStatus.UNKNOWN
SIGNS = {"+": GOOD, "-": BAD, "?": BLIND}


def statuses(signs: str) -> list[str]:
    found, now = [], member()
    for sign in signs:
        now = after(now, SIGNS[sign], SETTINGS)
        found.append(now.status.value[0:2])
    return found


@pytest.mark.parametrize(
    ("signs", "status"),
    [
        ("", UNKNOWN),
        ("+", UP),
        ("-", UNKNOWN),
        ("--", UNKNOWN),
        ("---", DOWN),
        ("+--", UP),
        ("+---", DOWN),
        ("+--+--", UP),
        ("---+", DOWN),
        ("---++", UP),
        ("---+-+", DOWN),
        ("+??", UP),
        ("+???", UNKNOWN),
        ("---???", UNKNOWN),
        ("+-?-?-", UP),
        ("????", UNKNOWN),
    ],
)
def test_results_in_a_row(signs, status):
    assert reduce(lambda now, sign: after(now, SIGNS[sign], SETTINGS), signs, member()).status is status


@given(st.text("+-?", max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_a_status_changes_only_to_what_the_last_results_say(signs, rise, fall):
    settings, now = Checks(rise=rise, fall=fall), member()
    for number, sign in enumerate(signs):
        before, now = now, after(now, SIGNS[sign], settings)
        assert now.last is SIGNS[sign]
        if now.status is before.status:
            assert now.since == before.since
            continue
        needed = (1 if before.status is UNKNOWN else rise) if now.status is UP else fall
        assert signs[: number + 1].endswith(sign * needed)
        assert (now.status, now.in_a_row, now.since) == (verdict_of(SIGNS[sign]), 0, SIGNS[sign].at)


def test_a_status_is_kept_over_a_restart_for_two_intervals():
    up = member(status=UP, since=NOON, last=GOOD, in_a_row=1)
    assert restored(up, NOON + timedelta(seconds=20), 10.0) == up
    assert restored(up, NOON + timedelta(seconds=21), 10.0) == member()
    assert restored(member(status=DOWN), NOON, 10.0) == member()
