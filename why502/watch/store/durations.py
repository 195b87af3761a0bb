"""Durations: histograms of response times, as they are added up and kept."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from why502.logs.scan.histogram import middle

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FINER = 8  # buckets of the readers' histogram that are kept as one: 8 for each doubling instead of 64
_packed = msgspec.msgpack.Encoder()
_buckets = msgspec.msgpack.Decoder(dict[int, int])


@lru_cache(maxsize=1 << 12)
def _placed(number: int) -> tuple[int, float]:
    """Return which of the bounds a bucket is below, and its middle in seconds."""
    duration_s = middle(number) / 1_000_000
    return bisect_left(BOUNDS_S, duration_s), duration_s


@dataclass(slots=True)
class Durations:
    """All response times of one peer. `counts`: up to each of BOUNDS_S, not cumulative, and one more for longer times."""

    counts: list[int]
    sum_s: float = 0.0

    @classmethod
    def none(cls) -> Durations:
        """Return the histogram of no time."""
        return cls([0] * (len(BOUNDS_S) + 1))

    @classmethod
    def of(cls, buckets: Counter[int]) -> Durations:
        """Return the histogram of times in buckets of `why502.logs.scan.histogram`."""
        found = cls.none()
        for number, count in buckets.items():
            place, duration_s = _placed(number)
            found.counts[place] += count
            found.sum_s += duration_s * count
        return found

    @classmethod
    def decoded(cls, data: bytes) -> Durations:
        """Return what `encoded` wrote."""
        return msgspec.msgpack.decode(data, type=cls)

    def encoded(self) -> bytes:
        """Return the histogram as it is kept."""
        return msgspec.msgpack.encode(self)

    def add(self, other: Durations) -> None:
        """Add the times of another histogram."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s


def pack(buckets: Counter[int]) -> bytes:
    """Return a histogram as it is kept by minute, hour and day: a quarter of the size, times at most 6 % off."""
    coarse: dict[int, int] = {}
    for number, count in buckets.items():
        coarse[number // _FINER] = coarse.get(number // _FINER, 0) + count
    return _packed.encode(coarse)


def merge_packed(first: bytes, second: bytes) -> bytes:
    """Return the sum of two packed histograms."""
    total = _buckets.decode(first)
    for number, count in _buckets.decode(second).items():
        total[number] = total.get(number, 0) + count
    return _packed.encode(total)


def unpack(data: bytes) -> Counter[int]:
    """Return a packed histogram in buckets of `why502.logs.scan.histogram`, each counted in the middle of what was packed."""
    return unpack_sum((data,))


def unpack_sum(packed: Iterable[bytes]) -> Counter[int]:
    """Return the sum of packed histograms, as `unpack` does."""
    total: dict[int, int] = {}
    for data in packed:
        for number, count in _buckets.decode(data).items():
            total[number] = total.get(number, 0) + count
    return Counter({number * _FINER + _FINER // 2: count for number, count in total.items()})
