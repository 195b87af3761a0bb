"""Percentiles of the recorded durations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.histogram import middle
from why502.logs.scan.report import Times


def times(counts: Counts, whose: int, name: str) -> Times | None:
    """Return the percentiles of the times of one route or target (see ROUTE etc. in counts); None if no times are known."""
    found = counts.times.get((whose, name))
    if not found:
        return None
    p50_s, p90_s, p95_s, p99_s, max_s = _percentiles(found, (0.5, 0.9, 0.95, 0.99, 1.0), float if counts.is_exact else middle)
    return Times(count=found.total(), p50_s=p50_s, p90_s=p90_s, p95_s=p95_s, p99_s=p99_s, max_s=max_s)


class Percentiles(NamedTuple):
    """Nearest-rank percentiles, in seconds."""

    p50_s: float
    p95_s: float
    p99_s: float


def percentiles(buckets: Counter[int]) -> Percentiles:
    """Return the percentiles of times that were counted in buckets of `histogram`; there is at least one."""
    p50_s, p95_s, p99_s = _percentiles(buckets, (0.5, 0.95, 0.99), middle)
    return Percentiles(p50_s, p95_s, p99_s)


def _percentiles(times: Counter[int], shares: Iterable[float], value: Callable[[int], float]) -> list[float]:
    """Return the nearest-rank percentiles, in seconds."""
    total = times.total()
    found, passed, ordered = [], 0, iter(sorted(times.items()))
    at, count = next(ordered)
    for share in shares:
        rank = max(math.ceil(share * total), 1)
        while passed + count < rank:
            passed += count
            at, count = next(ordered)
        found.append(round(value(at) / 1e6, 6))
    return found
