"""Follows several logs together: the lines of the latest interval, and of the last few minutes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from msgspec import structs

from why502.logs.files import rotated_names
from why502.logs.follow.follower import Follower
from why502.logs.held import MOST_LINES
from why502.logs.scan.counts import Counts
from why502.logs.scan.rates import Interval, Rates, rates, summed
from why502.logs.scan.work import ScanQuery

WINDOW_S = 300  # length of the recent period that is shown
MOST_HELD = MOST_LINES // 8


class Live:
    """The logs that are being followed."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self.followers = followers
        self._interval = Counts()
        self._recent = Counts()
        self._left_bytes = 0
        self._reasons: dict[str, str] = {}

    def step(self, now: float) -> bool:
        """Read the new lines of each log; `now` is the time in seconds since the epoch.

        Return whether more is waiting to be read.
        """
        self._left_bytes, self._reasons, is_behind = 0, {}, False
        for follower in self.followers:
            step = follower.step()
            self._left_bytes += step.left_bytes
            is_behind |= step.is_behind
            if step.reason:
                self._reasons[follower.path] = step.reason
            if step.added.lines:
                self._recent.merge(copy.deepcopy(step.added))  # a sum keeps a reference to what is added to it
                self._interval.merge(step.added)
        self._recent.expire(int(now) - WINDOW_S)
        self._interval.prune()
        self._recent.prune()
        return is_behind

    def interval(self) -> Interval:
        """Return the changes since the last call."""
        counts, self._interval = self._interval, Counts()
        return Interval(
            rates=summed(rates(counts)),
            lines=counts.lines,
            unparsed=counts.unparsed,
            left_bytes=self._left_bytes,
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
