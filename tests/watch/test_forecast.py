"""Forecasts of simulated series: leaks are told in time, saws and other rhythms alarm nobody."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.watch.forecast import Forecasts, slope
from why502.watch.model import Limit, LimitKind, Severity

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP_S, MINUTE_S, HOUR_S, DAY_S = 30.0, 60.0, 3600.0, 86400.0
Shape = Callable[[float], float]  # from seconds to the ratio


def sample(at_s: float, ratio: float, **fields: object) -> Limit:
    at = START + timedelta(seconds=at_s)
    return Limit(**{"kind": LimitKind.MEMORY, "subject": "app.service", "at": at, "used": ratio, "limit": 1.0, **fields})


def warnings(
    shape: Shape, until_s: float, *, since: Callable[[float], datetime | None] = lambda _: None
) -> list[tuple[float, Limit]]:
    """Return the samples that somebody is told of, up to the first that is full."""
    forecasts, found = Forecasts(), []
    for number in range(int(until_s / STEP_S)):
        at_s = number * STEP_S
        ratio = shape(at_s)
        told = forecasts.observe(sample(at_s, ratio, since=since(at_s)))
        if told.severity:
            found.append((at_s, told))
        if ratio >= 1:
            break
    return found


def predict_linear(shape: Shape, until_s: float, window_s: float = 900.0, horizon_s: float = HOUR_S) -> int:
    """Return at how many samples Prometheus' predict_linear (least squares over a window) says that it will be full."""
    fired = 0
    steps = int(window_s / STEP_S)
    values = [shape(number * STEP_S) for number in range(int(until_s / STEP_S))]
    mean_x = (steps - 1) / 2
    spread = sum((x - mean_x) ** 2 for x in range(steps))
    for end in range(steps, len(values)):
        part = values[end - steps : end]
        mean_y = sum(part) / steps
        rate = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(part)) / spread
        fired += mean_y + rate * (steps - 1 - mean_x) + rate * horizon_s / STEP_S >= 1 and part[-1] >= 0.6
    return fired


def leak(full_after_s: float, base: float = 0.0) -> Shape:
    return lambda at_s: base + (1 - base) * at_s / full_after_s


def saw(low: float, high: float, period_s: float) -> Shape:
    return lambda at_s: low + (high - low) * (at_s % period_s) / period_s


def noisy(shape: Shape, amount: float, seed: int = 502) -> Shape:
    chance = random.Random(seed)
    return lambda at_s: shape(at_s) + chance.uniform(-amount, amount)


def first_quick(names):
    """Return the names as parameters, of which `make check` takes the first."""
    return [pytest.param(name, marks=[pytest.mark.thorough] if number else []) for number, name in enumerate(names)]


LEAKS = {
    "in 75 minutes": leak(75 * MINUTE_S),
    "in two hours": leak(2 * HOUR_S),
    "in six hours, from a third": leak(6 * HOUR_S, base=0.33),
    "in two hours, noisy": noisy(leak(2 * HOUR_S), 0.02),
    "after half a day of calm": lambda at_s: 0.3 + max(0.0, at_s - 12 * HOUR_S) / (3 * HOUR_S),
    "that grows faster and faster": lambda at_s: 0.2 + 0.8 * (at_s / (5 * HOUR_S)) ** 2,
    "between collections of garbage": lambda at_s: 0.75 * at_s / (8 * HOUR_S) + saw(0.0, 0.25, 10 * MINUTE_S)(at_s),
    "beyond the teeth of three days": lambda at_s: (
        saw(0.5, 0.8, HOUR_S)(at_s) if at_s < 3 * DAY_S else 0.5 + (at_s - 3 * DAY_S) / (4 * HOUR_S)
    ),
    "in steps": lambda at_s: math.floor(at_s / 300) * 300 / (3 * HOUR_S),
}


@pytest.mark.parametrize("name", first_quick(LEAKS))
def test_a_leak_is_told_ten_minutes_before_it_is_full(name):
    shape = LEAKS[name]
    full_s = next(at_s for at_s in (number * STEP_S for number in range(40_000)) if shape(at_s) >= 1)
    pages = [(at_s, told) for at_s, told in warnings(shape, full_s + HOUR_S) if told.severity is Severity.PAGE]
    assert pages, "nobody was told"
    assert full_s - pages[0][0] >= 10 * MINUTE_S
    assert full_s - pages[0][0] <= HOUR_S
    late_s = (pages[0][1].exhausted_at - START).total_seconds() - full_s
    assert abs(late_s) <= 30 * MINUTE_S, "and roughly when"
    assert pages[0][1].reason


SAWS = {
    "cron every hour": saw(0.5, 0.85, HOUR_S),
    "cron every ten minutes": saw(0.3, 0.95, 10 * MINUTE_S),
    "garbage every three minutes": noisy(saw(0.55, 0.9, 3 * MINUTE_S), 0.02),
    "garbage every half hour": saw(0.4, 0.85, 30 * MINUTE_S),
    "logs rotated every day": saw(0.6, 0.85, DAY_S),
    "logs rotated every six hours": noisy(saw(0.55, 0.88, 6 * HOUR_S), 0.01),
    "a backup for an hour at night": lambda at_s: 0.9 if 2 * HOUR_S <= at_s % DAY_S < 3 * HOUR_S else 0.6,
    "a slow backup that is deleted": lambda at_s: 0.5 + 0.4 * max(0.0, (at_s % (8 * HOUR_S)) / HOUR_S - 6) / 2,
    "visitors by day": lambda at_s: 0.6 - 0.3 * math.cos(2 * math.pi * at_s / DAY_S),
    "a cache that fills": lambda at_s: 0.9 * (1 - math.exp(-at_s / (2 * HOUR_S))),
    "calm and high": noisy(lambda _: 0.9, 0.03),
    "noise alone": noisy(lambda _: 0.7, 0.2),
    "a step at a deployment": lambda at_s: 0.4 if at_s < 9 * HOUR_S else 0.8,
}


@pytest.mark.parametrize("name", first_quick(SAWS))
def test_a_day_of_a_rhythm_alarms_nobody(name):
    assert [(at_s, told.ratio, told.reason) for at_s, told in warnings(SAWS[name], DAY_S)] == []


@pytest.mark.thorough
def test_a_first_tooth_that_nearly_fills_is_told_but_no_second_one():
    """Nobody can know that it will drop; from then on it is known."""
    found = [at_s for at_s, _ in warnings(saw(0.4, 0.95, HOUR_S), DAY_S)]
    assert found
    assert max(found) < HOUR_S


@pytest.mark.thorough
def test_predict_linear_fires_at_many_of_these_rhythms():
    fires = [name for name, shape in SAWS.items() if predict_linear(shape, DAY_S)]
    assert len(fires) >= 5, fires


@pytest.mark.thorough
def test_daily_restarts_are_teeth_too():
    """The value need not fall: the start of the process says that it is another."""
    shape = saw(0.5, 0.85, DAY_S / 4)
    starts = {"since": lambda at_s: START + timedelta(seconds=at_s // (DAY_S / 4) * DAY_S / 4)}
    assert warnings(shape, 2 * DAY_S, **starts) == []


def test_a_start_that_is_known_to_a_second_is_the_same_start():
    """The kernel's times count from a boot whose time is estimated anew for each sample."""
    chance = random.Random(502)
    starts = {"since": lambda _: START + timedelta(seconds=chance.uniform(-1, 1))}
    assert warnings(leak(2 * HOUR_S), 3 * HOUR_S, **starts)


@pytest.mark.thorough
def test_a_process_that_is_killed_each_time_it_is_full_is_told_each_time():
    shape = saw(0.1, 0.995, 3 * HOUR_S)
    found = [at_s for at_s, told in warnings(shape, 12 * HOUR_S) if told.severity is Severity.PAGE]
    teeth = {int(at_s // (3 * HOUR_S)) for at_s in found}
    assert teeth == {0, 1, 2, 3}
    for tooth in teeth:
        assert 3 * HOUR_S * (tooth + 1) - min(at_s for at_s in found if at_s // (3 * HOUR_S) == tooth) >= 10 * MINUTE_S


def test_nothing_is_said_below_the_minimum_fill():
    assert warnings(lambda at_s: min(0.59, at_s / HOUR_S), 6 * HOUR_S) == []


@pytest.mark.thorough
def test_a_ticket_comes_before_the_page():
    found = warnings(leak(3 * DAY_S), 3 * DAY_S + HOUR_S)
    assert found[0][1].severity is Severity.TICKET
    full_s = 3 * DAY_S
    assert 12 * HOUR_S <= full_s - found[0][0] <= DAY_S
    assert found[-1][1].severity is Severity.PAGE


@pytest.mark.thorough
@given(
    st.floats(0.0, 0.6),
    st.floats(0.05, 0.35),
    st.floats(120.0, 43200.0),
    st.floats(0.0, 0.015),
    st.integers(0, 9),
)
@settings(max_examples=10, deadline=None)
def test_teeth_of_any_size_and_length_alarm_nobody(low, height, period_s, noise, seed):
    """Of every height whose first tooth leaves a quarter of its length until the limit would have been met."""
    high = min(low + height, (1 + low / 4) / 1.25 - 0.05)
    assert warnings(noisy(saw(low, high, period_s), noise, seed), DAY_S) == []


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 2)), max_size=60))
def test_any_samples_have_an_answer(samples):
    forecasts = Forecasts()
    for at_s, ratio in samples:
        told = forecasts.observe(sample(at_s, ratio))
        assert (told.at, told.used) == (START + timedelta(seconds=at_s), ratio)
        assert (told.severity is None) == (told.exhausted_at is None)


@given(st.floats(-1e-4, 1e-4), st.floats(0, 1), st.integers(2, 300), st.integers(0, 9))
def test_the_slope_of_a_line_is_its_slope_also_with_outliers(rate, base, count, seed):
    points = [(number * 10.0, base + rate * number * 10.0) for number in range(count)]
    assert slope(points) == pytest.approx(rate, abs=1e-9)
    for number in random.Random(seed).sample(range(count), count // 5):
        points[number] = (points[number][0], 5.0)
    if count >= 20:
        assert slope(points) == pytest.approx(rate, abs=2e-4)
    assert slope(points[:1]) == slope([]) == 0.0


def test_a_clock_that_is_set_back_begins_again_and_alarms_nobody():
    forecasts = Forecasts()
    for number in range(120):
        forecasts.observe(sample(7200 + number * STEP_S, 0.5 + number / 1000))
    told = [forecasts.observe(sample(number * STEP_S, 0.65 + number / 1000)) for number in range(20)]
    assert all(one.severity is None for one in told)


def test_a_queue_that_is_half_full_three_times_is_told_at_once():
    forecasts = Forecasts()
    ratios = [0.1, 0.6, 0.4, 0.6, 0.7, 0.9, 0.2]
    told = [forecasts.observe(sample(number, ratio, kind=LimitKind.LISTEN_QUEUE)) for number, ratio in enumerate(ratios)]
    assert [one.severity for one in told] == [None] * 5 + [Severity.PAGE, None]


@pytest.mark.parametrize(
    ("kind", "severity"),
    [(LimitKind.CONNTRACK, Severity.PAGE), (LimitKind.FPM_CHILDREN, Severity.TICKET), (LimitKind.DISK, None)],
)
def test_what_follows_the_load_is_told_when_it_is_nearly_full_for_a_minute(kind, severity):
    """A disk that is calm at 97 % is nobody's emergency."""
    forecasts = Forecasts()
    ratios = [0.5, 0.97, 0.97, 0.97, 0.97, 0.97, 0.6, *[0.97] * 6]
    told = [forecasts.observe(sample(number * 10, ratio, kind=kind)).severity for number, ratio in enumerate(ratios)]
    assert told == [None] * 12 + [severity]


@pytest.mark.parametrize(("days", "severity"), [(1, Severity.PAGE), (10, Severity.TICKET), (20, None), (-1, Severity.PAGE)])
def test_a_certificate_that_ends(days, severity):
    limit = sample(0, 0.5, kind=LimitKind.CERTIFICATE, exhausted_at=START + timedelta(days=days))
    assert Forecasts().observe(limit).severity is severity


def test_what_is_gone_is_forgotten_and_a_year_of_samples_stays_small():
    forecasts = Forecasts()
    shape = noisy(saw(0.2, 0.5, HOUR_S), 0.05)
    for number in range(20_000):
        forecasts.observe(sample(number * 600.0, shape(number * 600.0)))
    (series,) = forecasts._series.values()
    assert len(series.points) <= 482
    assert len(series.teeth) <= 48
    forecasts.forget(START + timedelta(days=365))
    assert not forecasts._series
