"""Objectives: how fast the month's allowance of failures is used up, in four pairs of windows.

The pairs are those of the SRE workbook (chapter 5) and Sloth's fourth. Few requests alert on one failure otherwise, so that each
window needs a least number of failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.watch.model import Severity

LEAST_OBJECTIVE = 0.931  # below, 14.4 times the allowed share is more than all requests
LEAST_SHORT, LEAST_LONG = 5, 10  # failures
MONTH_MINUTES = 30 * 24 * 60


class Objective(Value, frozen=True, kw_only=True):
    """The share of requests that must not fail over 30 days: 0.999. `location`, `proxy`: "" stands for all."""

    name: str
    share: float
    proxy: str = ""
    location: str = ""

    def check(self) -> None:
        """Raises Why502Error if the share is out of range."""
        if not LEAST_OBJECTIVE <= self.share < 1:
            raise Why502Error(
                f"the objective {self.name!r} is {100 * self.share:g} %",
                "Choose one from 93.1 % to below 100 %: below that, even a total failure never reaches the fastest alert.",
            )


@dataclass(frozen=True, slots=True)
class Window:
    """A pair of windows in minutes, how many times the allowed share fails, and whom that wakes."""

    long: int
    short: int
    factor: float
    severity: Severity
    name: str


WINDOWS = (
    Window(60, 5, 14.4, Severity.PAGE, "hour"),
    Window(6 * 60, 30, 6.0, Severity.PAGE, "6 hours"),
    Window(24 * 60, 120, 3.0, Severity.TICKET, "day"),
    Window(72 * 60, 360, 1.0, Severity.TICKET, "3 days"),
)
KEPT_MINUTES = max(window.long for window in WINDOWS)


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests and failures of one objective, by monotonic minute, the last three days'. `at`: the minute that still counts."""

    done: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    at: int = 0
    requests: int = 0
    failures: int = 0

    def added(self, minute: int, requests: int, failures: int) -> Budget:
        """Return the budget with these requests, without what is too old."""
        if minute == self.at:
            return Budget(self.done, minute, self.requests + requests, self.failures + failures)
        done = {at: counts for at, counts in self.done.items() if at > minute - KEPT_MINUTES}
        if self.requests or self.failures:
            done[self.at] = self.requests, self.failures
        return Budget(done, minute, requests, failures)

    def last(self, minute: int, length: int) -> tuple[int, int]:
        """Return the requests and the failures of the last `length` minutes."""
        every = [*self.done.items(), (self.at, (self.requests, self.failures))]
        found = [counts for at, counts in every if minute - length < at <= minute]
        return sum(requests for requests, _ in found), sum(failures for _, failures in found)


def restored(rows: Iterable[tuple[int, int, int]], shift: int) -> Budget:
    """Return the budget of (minute since the epoch, requests, failures). `shift`: monotonic minus epoch minute, now."""
    return Budget({minute + shift: (requests, failures) for minute, requests, failures in rows})


@dataclass(frozen=True, slots=True)
class Burning:
    """An objective that is being missed, and how to say it."""

    severity: Severity
    message: str


def burning(objective: Objective, budget: Budget, minute: int) -> Burning | None:
    """Return the fastest window pair in which the allowance is used up too fast; None if it is not."""
    allowed = 1 - objective.share
    for window in WINDOWS:
        requests, failures = budget.last(minute, window.long)
        now_requests, now_failures = budget.last(minute, window.short)
        if failures < LEAST_LONG or now_failures < LEAST_SHORT:
            continue
        rate, now_rate = failures / max(requests, 1), now_failures / max(now_requests, 1)
        if rate > window.factor * allowed and now_rate > window.factor * allowed:
            share = rate / allowed * window.long / MONTH_MINUTES
            message = (
                f"{_percent(share)} of the 30-day error budget was used up in the last {window.name}: "
                f"{failures} of {requests} requests failed, and the objective {objective.name!r} allows {_percent(allowed)}"
            )
            return Burning(window.severity, message)
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
