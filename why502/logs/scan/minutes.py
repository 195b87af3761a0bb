"""Counts per minute, eight bytes each: a month has 43 200 minutes, and there are many such series."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping

_BITS = 30  # bits of an entry for the count; the minutes reach beyond the year 9999
_COUNT = (1 << _BITS) - 1
_LOOSE = 512  # maximum number of entries waiting to be summed


class Minutes:
    """Minutes (since the epoch; -1: unknown) and their counts. New entries are appended, and summed from time to time."""

    __slots__ = ("_entries", "_summed")

    def __init__(self, entries: array[int] | None = None, *, is_ordered: bool = False) -> None:
        self._entries = array("q") if entries is None else entries  # minute and count
        # Number of entries at the start that are sorted, with each minute once
        self._summed = len(self._entries) if is_ordered else 0

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Minutes:
        """Return the Minutes of a mapping."""
        return cls(array("q", [minute << _BITS | counts[minute] for minute in sorted(counts)]), is_ordered=True)

    def add(self, minute: int, count: int = 1) -> None:
        """Add to the count of a minute."""
        entries = self._entries
        if entries and entries[-1] >> _BITS == minute:
            entries[-1] += count
            return
        if self._summed == len(entries) and (not entries or entries[-1] >> _BITS < minute):
            self._summed += 1
        entries.append(minute << _BITS | count)
        self._settle()

    def update(self, other: Minutes) -> None:
        """Add the other's counts."""
        if not self._entries:
            self._entries, self._summed = other._entries[:], other._summed
        elif len(other):
            first = other._entries[0]
            self.add(first >> _BITS, first & _COUNT)
            is_after = self._summed == len(self._entries)
            self._entries.extend(other._entries[1:])
            self._summed = len(self._entries) if is_after else self._summed
            self._settle()

    def items(self) -> Iterator[tuple[int, int]]:
        """Yield each minute and its count, in time order."""
        self._sum()
        return zip(map(_BITS.__rrshift__, self._entries), map(_COUNT.__and__, self._entries), strict=True)

    def add_to(self, counts: dict[int, int]) -> None:
        """Add the counts by minute to `counts`, which may hold those of others."""
        for entry in self._entries:
            minute = entry >> _BITS
            counts[minute] = counts.get(minute, 0) + (entry & _COUNT)

    def between(self, first: int, last: int) -> int:
        """Return the sum of the counts from one minute to another, both inclusive."""
        self._sum()
        begin, end = (bisect_left(self._entries, minute << _BITS) for minute in (first, last + 1))
        return sum(map(_COUNT.__and__, self._entries[begin:end]))

    def expire(self, before: int) -> None:
        """Drop the minutes before this one."""
        self._sum()
        self._entries = self._entries[bisect_left(self._entries, before << _BITS) :]
        self._summed = len(self._entries)

    def total(self) -> int:
        """Return the sum of all counts."""
        return sum(map(_COUNT.__and__, self._entries))

    def span(self) -> tuple[int, int]:
        """Return the first and the last minute. Raises IndexError if there are none."""
        self._sum()
        return self._entries[0] >> _BITS, self._entries[-1] >> _BITS

    def __len__(self) -> int:
        self._sum()
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Minutes) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        return f"Minutes({dict(self.items())})"

    def _settle(self) -> None:
        if len(self._entries) > 2 * self._summed + _LOOSE:
            self._sum()

    def _sum(self) -> None:
        if self._summed == len(self._entries):
            return
        counts: dict[int, int] = {}
        self.add_to(counts)
        self._entries = array("q", (minute << _BITS | counts[minute] for minute in sorted(counts)))
        self._summed = len(self._entries)
