"""Which counters have a series of their own, and which are added up as `other`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

OTHER = "other"
OTHERS = 8  # label sets named `other` of one family, by proxy and code, symptom or outcome; the rest is one more
GONE_S = 3600.0  # a series ends this long after its target left the configuration and it last grew

Labels = tuple[str, ...]  # the proxy, then the location or target, then what else there is
Values = tuple[float, ...]  # the count, or the buckets of a histogram and its sum


class Room:
    """The series that are still free, shared by several families. `overflow`: how many label sets have found none."""

    __slots__ = ("free", "overflow")

    def __init__(self, free: int) -> None:
        self.free = free
        self.overflow = 0


class Counters:
    """The series of one family of counters.

    A label set keeps its series as long as it is known or grows, and what was once counted as `other` stays there: a counter
    never falls, which Prometheus would read as a restart. What is `other` may differ after a restart, so it begins at 0 then.

    `most`: its label sets at most. `cost`: the series of one label set, `width`: its values; both are 1 but for a histogram.
    """

    def __init__(self, room: Room, *, most: int, cost: int = 1, width: int = 1) -> None:
        self._room = room
        self._most = most
        self._cost = cost
        self._zero: Values = (0.0,) * width
        self._own: set[Labels] = set()
        self._folded: set[Labels] = set()
        self._others: dict[Labels, Values] = {}
        self._totals: dict[Labels, Values] | None = None
        self._alive_s: dict[Labels, float] = {}

    def update(
        self, totals: Mapping[Labels, Values], is_known: Callable[[Labels], bool], zeros: Collection[Labels], now_s: float
    ) -> dict[Labels, Values]:
        """Return the values of all series for new totals.

        `is_known`: whether labels are of the present configuration. `zeros`: labels that begin at 0. `now_s`: a monotonic time.
        """
        all_ = {**dict.fromkeys(zeros, self._zero), **totals}
        before = all_ if self._totals is None else self._totals
        for labels, values in all_.items():
            if is_known(labels) or values != before.get(labels):
                self._alive_s[labels] = now_s
        self._leave(now_s)
        self._enter(all_, totals)
        for labels in self._folded:
            self._add(labels, all_.get(labels, self._zero), before.get(labels, self._zero))
        self._totals = all_
        return self._others | {labels: all_[labels] for labels in self._own if labels in all_}

    def _leave(self, now_s: float) -> None:
        for labels in [labels for labels, alive_s in self._alive_s.items() if now_s - alive_s > GONE_S]:
            del self._alive_s[labels]
            self._folded.discard(labels)
            if labels in self._own:
                self._own.remove(labels)
                self._room.free += self._cost

    def _enter(self, all_: Mapping[Labels, Values], totals: Mapping[Labels, Values]) -> None:
        """Give series to labels that have none: first to the largest counts, and half of the room at most to zeros."""
        waiting = self._alive_s.keys() - self._own - self._folded
        for labels in sorted(waiting, key=lambda labels: (labels not in totals, [-value for value in all_[labels]], labels)):
            most = self._most if labels in totals else self._most // 2
            if labels == _fold(labels):
                self._folded.add(labels)
            elif len(self._own) < most and self._room.free >= self._cost:
                self._own.add(labels)
                self._room.free -= self._cost
            elif labels in totals:
                self._folded.add(labels)
                self._room.overflow += 1

    def _add(self, labels: Labels, values: Values, before: Values) -> None:
        other = _fold(labels)
        if other not in self._others and len(self._others) >= OTHERS:
            other = (OTHER,) * len(labels)
        old = self._others.get(other, self._zero)
        self._others[other] = tuple(old[i] + max(values[i] - before[i], 0.0) for i in range(len(values)))


def _fold(labels: Labels) -> Labels:
    """Return the labels that these are added to if there is no room for them."""
    return (labels[0], OTHER, *labels[2:])
