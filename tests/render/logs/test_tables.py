"""A table is shown only if it has a row that the reader has not seen."""

from __future__ import annotations

from why502.logs.scan.report import Report, Row
from why502.render.logs.tables import unless_shown
from why502.render.logs.text import render
from why502.render.words import Terminal

BAD, GOOD = Row(name="10.0.0.1", requests=5, failures=5), Row(name="10.0.0.2", requests=9)


def test_rows_are_not_shown_twice() -> None:
    assert unless_shown((GOOD, BAD), (BAD,)) == (GOOD, BAD)
    assert unless_shown((BAD,), (BAD, GOOD)) == ()
    assert unless_shown((), (BAD,)) == ()


def test_the_report_of_a_small_log_has_one_table_of_clients() -> None:
    report = Report(requests=5, failures=5, clients=(BAD,))
    assert "with the most requests" not in render(report, Terminal())
    both = render(Report(requests=14, failures=5, clients=(BAD, GOOD)), Terminal())
    assert "with the most failures" in both and "with the most requests" in both
