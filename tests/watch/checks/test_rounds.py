"""The rhythm of the checks, in simulated time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from members_of import member, peer, plan_of, result
from sampled import sampled

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.watch.checks.members import Planned
from why502.watch.checks.rounds import AT_ONCE, Rounds
from why502.watch.checks.settings import Checks
from why502.watch.model import MemberStatus

HOUR_S = 3600.0
Outcome = tuple[float, Symptom | None]  # how long a check takes, and what it finds
Behave = Callable[[Planned, float], Outcome]


def fine(_planned: Planned, _now_s: float) -> Outcome:
    return 0.01, None


def silent(planned: Planned, _now_s: float) -> Outcome:
    return planned.request.connect_s, Symptom.CONNECT_TIMED_OUT


def hung(planned: Planned, _now_s: float) -> Outcome:
    return planned.request.answer_s, Symptom.READ_TIMED_OUT


def refused(_planned: Planned, _now_s: float) -> Outcome:
    return 0.001, Symptom.CONNECT_REFUSED


def simulate(rounds: Rounds, behave: Behave, until_s: float, now_s: float = 0.0) -> Iterator[tuple[float, Target, int]]:
    """Yield when each check starts, whose it is, and how many run with it, as the checker does it with threads."""
    running: list[tuple[float, int, Planned, Symptom | None]] = []
    number = 0
    while now_s < until_s:
        while len(running) < AT_ONCE and (taken := rounds.take(now_s)):
            took_s, symptom = behave(taken, now_s)
            number += 1
            heapq.heappush(running, (now_s + took_s, number, taken, symptom))
            yield now_s, taken.key.peer, len(running)
        next_s = rounds.next_s() if len(running) < AT_ONCE else None
        if running and (next_s is None or running[0][0] <= next_s):
            now_s, _, done, symptom = heapq.heappop(running)
            rounds.finish(done.key, result(symptom, done.key.peer, now_s), now_s)
        else:
            assert next_s is not None
            now_s = max(now_s, next_s)


def rounds_of(count: int, settings: Checks | None = None, **fields: object) -> Rounds:
    made = Rounds(settings or Checks(), Chance())
    made.update([plan_of(peer(number), **fields) for number in range(count)], 0.0)
    return made


class Chance:
    """The same chance in every run."""

    def __init__(self) -> None:
        self._random = random.Random(502)

    def __call__(self) -> float:
        return self._random.uniform(-1, 1)


def starts(rounds: Rounds, behave: Behave, until_s: float) -> dict[Target, list[float]]:
    found: dict[Target, list[float]] = {}
    for at_s, target, _ in simulate(rounds, behave, until_s):
        found.setdefault(target, []).append(at_s)
    return found


def gaps(times: list[float]) -> list[float]:
    return [later - before for before, later in pairwise(times)]


def test_a_member_that_answers_is_checked_every_ten_seconds_give_or_take_a_tenth():
    found = gaps(starts(rounds_of(1), fine, HOUR_S)[peer(0)])
    assert len(found) > 300
    assert min(found) >= 9.0 and max(found) <= 11.1
    assert max(found) - min(found) > 1.0


def test_the_first_checks_are_spread_over_one_interval():
    first = sorted(times[0] for times in starts(rounds_of(20), fine, 10.0).values())
    assert first == [number * 0.5 for number in range(20)]


def test_a_member_in_doubt_is_checked_every_two_seconds():
    times = starts(rounds_of(1), lambda _, now_s: refused(_, now_s) if now_s > 100 else fine(_, now_s), 200)[peer(0)]
    fall = next(number for number, at_s in enumerate(times) if at_s > 100)
    quick = gaps(times[fall : fall + 4])
    assert all(1.8 <= wait_s <= 2.3 for wait_s in quick[:2])
    assert quick[2] >= 9.0, "it is down: no doubt any more"


def test_an_idle_member_is_checked_at_once_when_its_requests_fail_but_once_in_an_interval():
    rounds = Rounds(Checks(), Chance(), lambda _: 0.01)
    rounds.update([plan_of(peer(0)), plan_of(peer(1))], 0.0)
    first = starts(rounds, fine, 20.0)
    assert [len(times) for times in first.values()] == [1, 1], "both are idle: one check a minute"
    failing = frozenset({str(peer(0))})
    assert not rounds.doubt("haproxy", failing, 20.0)
    assert rounds.doubt("nginx", failing, 20.0)
    taken = rounds.take(20.0)
    assert taken is not None and taken.key.peer == peer(0)
    assert not rounds.doubt("nginx", failing, 20.1), "it is being checked"
    rounds.finish(taken.key, result(None, peer(0), 20.0), 20.2)
    assert not rounds.doubt("nginx", failing, 29.9)
    assert rounds.doubt("nginx", failing, 30.0)
    assert rounds.take(20.1) is None


def test_requests_that_fail_bring_no_check_to_a_member_that_breaks_off_ours():
    rounds = rounds_of(1)
    taken = rounds.take(0.0)
    assert taken is not None
    rounds.finish(taken.key, result(Symptom.RESET_BEFORE_HEADER, peer(0)), 0.0)
    assert not rounds.doubt("nginx", frozenset({str(peer(0))}), 100.0)


def test_a_member_that_flaps_is_checked_quickly_at_most_five_times_in_a_row():
    answers = iter(range(10_000))
    times = starts(
        rounds_of(1), lambda planned, now_s: refused(planned, now_s) if next(answers) % 2 else fine(planned, now_s), HOUR_S
    )
    quick = longest = 0
    for wait_s in gaps(times[peer(0)]):
        quick = quick + 1 if wait_s < 5 else 0
        longest = max(longest, quick)
    assert 1 <= longest <= 5


@pytest.mark.parametrize(("requests_s", "least_s"), [(None, 10), (100.0, 10), (1.0, 20), (0.5, 40), (0.01, 60), (0.0, 60)])
def test_checks_are_at_most_a_twentieth_of_a_members_requests_but_one_a_minute(requests_s, least_s):
    found = gaps(starts(rounds_of(1, requests_s=requests_s), fine, HOUR_S)[peer(0)])
    assert 0.9 * least_s <= min(found) and max(found) <= 1.1 * least_s + 0.1


@pytest.mark.parametrize("behave", sampled([refused, silent], 2))
def test_a_round_of_five_hundred_dead_members_ends_within_its_interval(behave):
    """W43. Refused: within ten seconds. Silent: each takes as long as we wait, so the interval is the longest, a minute."""
    rounds = rounds_of(500)
    limit_s = 10 if behave is refused else 60
    checks = list(simulate(rounds, behave, 600))
    assert max(running for _, _, running in checks) <= AT_ONCE
    times: dict[Target, list[float]] = {}
    for at_s, target, _ in checks:
        times.setdefault(target, []).append(at_s)
    assert len(times) == 500
    assert max(found[0] for found in times.values()) <= limit_s
    assert max(max(gaps(found)) for found in times.values()) <= limit_s * 1.1 + 1
    assert all(one.status is MemberStatus.DOWN for one in rounds.members)


def test_five_hundred_hung_members_are_each_looked_at_once_a_minute():
    rounds = rounds_of(500)
    late = {}
    for at_s, target, _ in simulate(rounds, hung, 1800):
        late.setdefault(target, []).append(at_s)
    assert all(one.status is MemberStatus.DOWN for one in rounds.members)
    assert max(max(gaps([at_s for at_s in found if at_s > 1200])) for found in late.values()) <= 70


def test_a_member_that_breaks_off_our_request_is_asked_once_a_minute_when_that_is_known():
    times = starts(rounds_of(1), lambda *_: (0.01, Symptom.CLOSED_BEFORE_HEADER), HOUR_S)[peer(0)]
    assert gaps(times)[0] < 3
    assert min(gaps(times)[3:]) >= 54


def test_an_update_keeps_the_status_of_members_that_stay():
    rounds = rounds_of(2)
    list(simulate(rounds, fine, 30))
    rounds.update([plan_of(peer(1)), plan_of(peer(2))], 30.0)
    assert [(one.peer, one.status) for one in rounds.members] == [(peer(1), MemberStatus.UP), (peer(2), MemberStatus.UNKNOWN)]
    assert {target for _, target, _ in simulate(rounds, fine, 50, 30.0)} == {peer(1), peer(2)}
    assert rounds.finish(plan_of(peer(0)).key, result(target=peer(0)), 50) is None


def test_members_of_before_a_restart_keep_their_status():
    rounds = Rounds(Checks(), Chance())
    rounds.update([plan_of(peer(0))], 0.0, [member(peer(0), status=MemberStatus.DOWN)])
    assert rounds.members[0].status is MemberStatus.DOWN


@pytest.mark.thorough
def test_a_month_of_checks_keeps_no_more_than_at_its_start():
    rounds = rounds_of(5, Checks(interval_s=60.0))
    for _ in simulate(rounds, fine, 30 * 24 * HOUR_S):
        assert len(rounds._heap) <= 5
