"""An objective alerts when its allowance is used up too fast, never because few requests make one failure look large."""

from __future__ import annotations

import pytest

from tests.watch.state.simulated import World
from why502.model.errors import Why502Error
from why502.model.logs import Symptom
from why502.watch.model import Severity
from why502.watch.state.burn import Budget, Objective, burning, restored
from why502.watch.state.values import State

SHOP = Objective(name="shop", share=0.999)


def budget(*rows: tuple[int, int, int]) -> Budget:
    found = Budget()
    for minute, requests, failures in rows:
        found = found.added(minute, requests, failures)
    return found


@pytest.mark.parametrize("share", [0.5, 0.93, 1.0, 1.5])
def test_an_objective_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(Why502Error, match="objective"):
        Objective(name="shop", share=share).check()


@pytest.mark.parametrize("share", [0.931, 0.99, 0.9999])
def test_an_objective_in_range_is_taken(share: float) -> None:
    Objective(name="shop", share=share).check()


@pytest.mark.parametrize(
    ("failures_a_minute", "minutes", "severity"),
    [(15, 60, Severity.PAGE), (14, 60, Severity.PAGE), (7, 6 * 60, Severity.PAGE), (4, 24 * 60, Severity.TICKET),
    (2, 72 * 60, Severity.TICKET)],
)  # fmt: skip
def test_each_pair_of_windows_alerts_above_its_factor(failures_a_minute: int, minutes: int, severity: Severity) -> None:
    found = burning(SHOP, budget(*((minute, 1000, failures_a_minute) for minute in range(minutes))), minutes - 1)
    assert found is not None
    assert found.severity is severity


def test_just_below_the_factor_of_the_slowest_pair_is_silent() -> None:
    assert burning(SHOP, budget(*((minute, 10_000, 9) for minute in range(72 * 60))), 72 * 60 - 1) is None


def test_one_failure_of_sixty_requests_an_hour_is_silent_and_so_are_nine() -> None:
    quiet = budget(*((minute, 1, 1 if minute in range(50, 59) else 0) for minute in range(60)))
    assert burning(SHOP, quiet, 59) is None


def test_it_wakes_nobody_when_the_short_windows_recovered() -> None:
    over = budget(*((minute, 100, 100 if minute < 25 else 0) for minute in range(60)))
    found = burning(SHOP, over, 59)
    assert found is not None
    assert found.severity is Severity.TICKET


def test_it_says_which_part_of_the_allowance_went() -> None:
    found = burning(SHOP, budget(*((minute, 1000, 15) for minute in range(60))), 59)
    assert found is not None
    assert found.message.startswith(
        "2.08 % of the 30-day error budget was used up in the last hour: 900 of 60000 requests failed"
    )


def test_minutes_of_an_earlier_run_count() -> None:
    kept = restored([(29_000_000 + minute, 1000, 15) for minute in range(60)], shift=-29_000_000)
    assert burning(SHOP, kept, 59) is not None


def test_slow_burning_opens_a_ticket_and_an_outage_that_is_known_no_second_page() -> None:
    world = World(State(host="web1", objectives=(SHOP,)))
    for _ in range(45):
        world.serve("127.0.0.1:3001", count=995)
        world.fail("127.0.0.1:3001", Symptom.READ_TIMED_OUT, count=4)
        world.wait(60)
    budgets = [incident for incident in world.saved.values() if incident.symptom == "allowance-used"]
    assert len(budgets) == 1
    outage = World(State(host="web1", objectives=(SHOP,)))
    outage.causes = {"127.0.0.1:3001": "backend-not-running"}
    for _ in range(20):
        outage.fail("127.0.0.1:3001", count=500)
        outage.wait(60)
    assert len(outage.told()) == 1
    assert [incident.caused_by != "" for incident in outage.saved.values() if incident.symptom == "allowance-used"] == [True]


def test_a_rate_limit_uses_nothing_of_the_allowance() -> None:
    world = World(State(host="web1", objectives=(SHOP,)))
    for _ in range(20):
        world.fail("", Symptom.RATE_LIMITED, count=500)
        world.wait(60)
    assert not world.told(loud=False)
