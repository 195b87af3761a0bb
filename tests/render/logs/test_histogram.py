"""The bars over time in the terminal report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from why502.logs.scan.report import Minute, Report
from why502.render.logs import histogram

START = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def report(minutes: dict[int, tuple[int, int]], step_s: int = 60) -> Report:
    told = tuple(
        Minute(at=START + timedelta(seconds=step_s * minute), failures=failures, requests=requests)
        for minute, (failures, requests) in sorted(minutes.items())
    )
    return Report(minutes=told, step_s=step_s)


@given(
    st.dictionaries(st.integers(0, 600_000), st.tuples(st.integers(0, 9), st.integers(9, 99)), min_size=1, max_size=40),
    st.integers(20, 200),
    st.sampled_from([60, 3600]),
)
def test_every_request_is_in_one_of_few_columns(minutes: dict[int, tuple[int, int]], columns: int, step_s: int) -> None:
    chart = histogram.of(report(minutes, step_s), columns)
    assert len(chart.failures) == len(chart.requests) <= columns
    assert sum(chart.failures) == sum(failures for failures, _ in minutes.values())
    assert sum(chart.requests) == sum(requests for _, requests in minutes.values())
    assert chart.start <= START + timedelta(seconds=step_s * min(minutes)) < chart.at(1)
    assert chart.width


def test_a_column_begins_at_a_round_time() -> None:
    chart = histogram.of(report({0: (1, 2), 200: (3, 4)}), 60)
    assert (chart.minutes, f"{chart.start:%H:%M}", chart.width) == (5, "05:05", "5 minutes")
    assert chart.axis().startswith("05:05Z")
    assert chart.axis().endswith("08:30Z")


def test_the_highest_bar_is_full_and_a_single_failure_is_seen() -> None:
    assert histogram.bars([0, 1, 500, 1000]) == " ▁▄█"
    assert histogram.bars([0, 0]) == "  "
