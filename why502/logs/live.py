"""Follows several logs together: the lines of the latest interval, and of the last few minutes.

A server writes the error line of a request before its access line. So a step reads error logs after access logs, and an error
line whose access line is not there yet waits for it for KEPT_S, also beyond the end of the interval: a request is told once, with
its reason.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from msgspec import structs

from why502.logs.files import rotated_names
from why502.logs.follow.follower import Follower
from why502.logs.held import MOST_LINES
from why502.logs.join import KEPT_S
from why502.logs.scan.counts import Counts
from why502.logs.scan.rates import Interval, Rates, rates, rates_and_left, summed
from why502.logs.scan.work import ScanQuery

WINDOW_S = 300  # length of the recent period that is shown
MOST_HELD = MOST_LINES // 8
MOST_TURNS = 16  # in which an error log that is behind catches up with the access logs of a step


class Live:
    """The logs that are being followed."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self.followers = followers
        self._interval = Counts()
        self._recent = Counts()
        self._left_bytes: dict[int, int] = {}  # by the number of the follower
        self._behind: set[int] = set()  # numbers of those with more than a turn to read
        self._seen: set[int] = set()  # numbers of those that had a line
        self._reasons: dict[str, str] = {}
        self._of_requests = {number for number, one in enumerate(followers) if one.has_requests()}
        self._expect_requests()

    def step(self, now: float) -> bool:
        """Read the new lines of each log; `now` is the time in seconds since the epoch.

        Return whether more is waiting to be read.
        """
        self._left_bytes, self._behind = {}, set()
        self._reasons = {}
        read: list[int] = []  # logs without a request so far
        for number in sorted(range(len(self.followers)), key=lambda number: number not in self._of_requests):
            self._take(number)
            if number not in self._of_requests:
                read.append(number)
            elif read:  # it turned out to be an access log: the error lines of its requests are there by now
                for earlier in read:
                    self._take(earlier)
        for number in read:
            if not self._of_requests and number not in self._seen:  # it may be the access log
                self._take(number)
        for number in read:
            for _ in range(MOST_TURNS if number in self._behind and self._of_requests else 0):
                self._take(number)
                if number not in self._behind:
                    break
        self._recent.expire(int(now) - WINDOW_S)
        self._interval.prune()
        self._recent.prune()
        return bool(self._behind)

    def _take(self, number: int) -> None:
        """Read what was added to one log, at most some megabytes."""
        follower = self.followers[number]
        step = follower.step()
        self._left_bytes[number] = step.left_bytes
        self._behind = self._behind | {number} if step.is_behind else self._behind - {number}
        self._reasons.pop(follower.path, None)
        if step.reason:
            self._reasons[follower.path] = step.reason
        if step.added.outcomes:
            self._of_requests.add(number)
            self._expect_requests()
        if step.added.lines:
            self._seen.add(number)
            self._recent.merge(copy.deepcopy(step.added))  # a sum keeps a reference to what is added to it
            self._interval.merge(step.added)

    def _expect_requests(self) -> None:
        """Count failed requests, and not error lines too, where an access log is followed: its next line may come later."""
        self._interval.had_requests = self._recent.had_requests = bool(self._of_requests)

    def interval(self) -> Interval:
        """Return the changes since the last call."""
        counts, self._interval = self._interval, Counts()
        found, left = rates_and_left(counts)
        if left:
            oldest = max(left.times) - KEPT_S
            kept = [index for index, at in enumerate(left.times) if at >= oldest]
            self._interval.errors.extend(left, kept[-MOST_HELD:])
        self._expect_requests()
        return Interval(
            rates=summed(found),
            lines=counts.lines,
            unparsed=counts.unparsed,
            left_bytes=sum(self._left_bytes.values()),
            lost_bytes=sum(follower.lost_bytes for follower in self.followers),
            reasons=self._reasons,
        )

    def recent(self) -> tuple[Rates, ...]:
        """Return the rates of the last minutes."""
        return rates(self._recent)

    def close(self) -> None:
        """Close all logs."""
        for follower in self.followers:
            follower.close()


def asked(query: ScanQuery) -> ScanQuery:
    """Return the query for followed lines: error lines are joined with the access lines of their requests."""
    return structs.replace(query, most_held=MOST_HELD)


def current(paths: Sequence[str]) -> list[str]:
    """Return the current logs among the files of directories: a rotated file is followed under its original name."""
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        directory, _, name = path.rpartition("/")
        by_directory.setdefault(directory, []).append(name)
    rotated = {
        f"{directory}/{one}" if directory else one
        for directory, names in by_directory.items()
        for name in names
        for one in rotated_names(name, names)
    }
    return [path for path in dict.fromkeys(paths) if path not in rotated]
