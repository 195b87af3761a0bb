"""Counts over time as one row of bars for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from why502.logs.scan.report import Report
from why502.model.base import Value

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTHS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)  # minutes that a column may stand for; beyond these, whole days
_DAY_MIN = 1440
_MOST_COLUMNS = 100


class Chart(Value, frozen=True, kw_only=True):
    """Failures and requests in columns of the same length in time, the first of which begins at `start`."""

    start: datetime
    minutes: int  # of a column
    failures: tuple[int, ...]
    requests: tuple[int, ...]

    @property
    def width(self) -> str:
        """Return how long a column is, in words."""
        for minutes, name in ((_DAY_MIN, "day"), (60, "hour"), (1, "minute")):
            if self.minutes % minutes == 0:
                count = self.minutes // minutes
                return f"{count} {name}{'' if count == 1 else 's'}"
        raise AssertionError(self.minutes)

    def at(self, column: int) -> datetime:
        """Return when a column begins."""
        return self.start + timedelta(minutes=self.minutes * column)

    def axis(self) -> str:
        """Return the line below the bars: when the first column begins, and when the last one ends."""
        end = self.at(len(self.failures))
        form = "%H:%MZ" if self.start.date() == end.date() else "%m-%d %H:%MZ"
        return f"{self.start:{form}}{f'{end:{form}}':>{max(len(self.failures) - len(f'{self.start:{form}}'), 8)}}"


def of(report: Report, columns: int) -> Chart:
    """Return the minutes of a report in at most so many columns."""
    first, last = report.minutes[0].at, report.minutes[-1].at
    span_min = int((last - first).total_seconds()) // 60 + report.step_s // 60
    most = min(columns, _MOST_COLUMNS)
    days = (_DAY_MIN * count for count in range(1, span_min // _DAY_MIN + 2))
    width = next(width for width in (*_WIDTHS_MIN, *days) if width * 60 >= report.step_s and span_min <= width * (most - 1))
    start = first - timedelta(minutes=(first.hour * 60 + first.minute) % min(width, _DAY_MIN))
    size = int((last - start).total_seconds()) // 60 // width + 1
    failures, requests = [0] * size, [0] * size
    for minute in report.minutes:
        column = int((minute.at - start).total_seconds()) // 60 // width
        failures[column] += minute.failures
        requests[column] += minute.requests
    return Chart(start=start, minutes=width, failures=tuple(failures), requests=tuple(requests))


def bars(counts: Sequence[int]) -> str:
    """Return a bar for each count, as high as its share of the highest; the lowest bar for the smallest count that is not 0."""
    most = max(counts, default=0) or 1
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)
