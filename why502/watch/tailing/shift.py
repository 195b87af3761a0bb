"""Learns from failed requests that a proxy writes the times of its error log in another zone than we think.

A process takes the zone of its start: after the machine got another one, or in a container, the two may differ. Its access log
names its zone or is in UTC, so that a request and its error line tell the difference, which is some quarters of an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from why502.logs.join import SLACK_S, Errors, Request

QUARTER_S = 900
LARGEST_S = 26 * 3600  # between two zones
LEAST = 3  # requests that tell the same
SHARE = 0.95
MOST_REQUESTS, MOST_ERRORS = 50, 5000  # that are compared at once


class Shift:
    """What is to be added to the times of a proxy's error lines, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0
        self._votes: Counter[int] = Counter()

    def hear(self, requests: Iterable[Request], errors: Errors, free: Sequence[int]) -> int:
        """Learn from failed requests, and from the error lines (by number) that belong to none of them.

        Return by how much the times of these lines have to be changed, 0 as long as that is not known.
        """
        if not free:
            return 0
        by_marks: dict[tuple[int, int], list[float]] = {}
        for index in islice(free, MOST_ERRORS):
            by_marks.setdefault((errors.clients[index], errors.requests[index]), []).append(errors.times[index])
        for one in islice(requests, MOST_REQUESTS):
            line = one.line
            if one.errors:
                self._votes.clear()  # at least some are right as they are
            elif line.client and line.request:
                times = by_marks.get((line.client, line.request), [])
                self._votes.update({found for at in times if (found := _quarters(line.at - at, line.duration_s or 0.0))})
        (found, count), *_ = self._votes.most_common(1) or [(0, 0)]
        if count < LEAST or count < SHARE * self._votes.total():
            return 0
        self._votes.clear()
        self.seconds += found
        return found


def _quarters(difference_s: float, duration_s: float) -> int:
    """Return a difference in whole quarters of an hour, in seconds; 0 if it is none. A request may have taken a part of it."""
    found = round((difference_s - duration_s / 2) / QUARTER_S) * QUARTER_S
    is_near = -SLACK_S <= difference_s - found <= duration_s + SLACK_S
    return found if is_near and duration_s < QUARTER_S / 2 and abs(found) <= LARGEST_S else 0
