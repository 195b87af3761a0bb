"""The rate of a member's requests, from the counts of the logs."""

from __future__ import annotations

from collections import Counter

from members_of import PEER

from why502.model.target import Target
from why502.watch.checks.rates import MINUTES, Rates
from why502.watch.model import AttemptKey

OTHER = Target(host="10.0.0.6", port=3000)


def attempts(at: int, count: int, outcome: str = "ok") -> Counter[tuple[int, AttemptKey]]:
    return Counter({(at, AttemptKey("nginx", str(PEER), outcome)): count})


def test_the_rate_is_that_of_the_last_whole_minutes():
    rates = Rates()
    for minute in range(100, 100 + MINUTES):
        rates.add(attempts(minute, 30), minute)
    rates.add(attempts(110, 1000), 110)
    assert rates.of("nginx", PEER, 110) == 0.5
    assert rates.of("nginx", OTHER, 110) == 0.0


def test_logs_that_do_not_name_targets_tell_no_rate():
    rates = Rates()
    assert rates.of("nginx", PEER, 100) is None
    rates.add(attempts(99, 5, "connect-refused"), 100)
    assert rates.of("nginx", PEER, 100) is None, "an error log names only failures"
    rates.add(attempts(99, 5), 100)
    assert rates.of("nginx", PEER, 100) == 10 / 600
    assert rates.of("haproxy", PEER, 100) is None


def test_old_counts_are_forgotten_and_those_of_a_wrong_clock_ignored():
    rates = Rates()
    rates.add(attempts(100, 600), 100)
    rates.add(attempts(500, 600), 130)
    assert rates.of("nginx", PEER, 130) == 0.0
    assert len(rates._counts) == 0
