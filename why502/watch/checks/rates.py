"""How many requests per second each member gets, from what the logs count. Pure: minutes are counted since the epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from why502.model.target import Target
from why502.watch.model import AttemptKey

MINUTES = 10  # the rate is that of so many whole minutes
OK = "ok"


class Rates:
    """The attempts of the last minutes by proxy and target."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[tuple[str, str]]] = {}
        self._telling: dict[str, int] = {}  # by proxy, the last minute in which its logs told of an attempt that succeeded

    def add(self, attempts: Mapping[tuple[int, AttemptKey], int], minute: int) -> None:
        """Add counts by minute, and forget those that are older than MINUTES before `minute`."""
        for (at, key), count in attempts.items():
            if minute - MINUTES <= at <= minute:
                self._counts.setdefault(at, Counter())[key.proxy, key.target] += count
                if key.outcome == OK:
                    self._telling[key.proxy] = max(at, self._telling.get(key.proxy, at))
        self._counts = {at: counts for at, counts in self._counts.items() if at >= minute - MINUTES}

    def of(self, proxy: str, peer: Target, minute: int) -> float | None:
        """Return the requests per second of a member; None if the proxy's logs do not name the targets that they went to."""
        if self._telling.get(proxy, -MINUTES) < minute - 60:
            return None
        whole = [self._counts.get(at, Counter()) for at in range(minute - MINUTES, minute)]
        return sum(counts[proxy, str(peer)] for counts in whole) / (60 * MINUTES)
