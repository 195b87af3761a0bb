"""Series: what is counted by minute, and how many different series there may be."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import TypeVar

from why502.redaction import redact
from why502.watch.model import AttemptKey, FailureKey, LocationKey, OwnerKey, PeerKey, RequestKey, RouteKey, TargetKey

Key = RequestKey | FailureKey | AttemptKey | TargetKey
K = TypeVar("K", bound=Key)
Named = TypeVar("Named", RequestKey, FailureKey, AttemptKey, TargetKey, LocationKey, RouteKey, PeerKey, OwnerKey)
Columns = tuple[str, str, str, str]  # proxy, location, target, detail: the code, symptom or outcome

OTHER = "other"  # location and target of what is counted together once there are too many series
LIMIT = 2000  # series that grow within one hour
QUIET_S = 3600.0  # after this long without growth, a series gives up its place
LONGEST = 200  # characters of a name in a key; nginx allows longer locations, nobody can read them in a chart


class Counted(StrEnum):
    """What a series counts."""

    REQUESTS = "requests"
    FAILURES = "failures"
    ATTEMPTS = "attempts"
    RECOVERED = "recovered"
    DURATIONS = "durations"


class Part(StrEnum):
    """A part of a key, by which counts can be summed. DETAIL: the code, symptom or outcome."""

    PROXY = "proxy"
    LOCATION = "location"
    TARGET = "target"
    DETAIL = "detail"


class Ring(IntEnum):
    """The resolution of kept counts, in minutes. `kept` is how many minutes back each of them reaches."""

    MINUTE = 1
    HOUR = 60
    DAY = 1440

    @property
    def kept(self) -> int:
        """Return how long counts of this resolution are kept, in minutes: 48 hours, 35 days, 400 days."""
        return {Ring.MINUTE: 48 * 60, Ring.HOUR: 35 * 1440, Ring.DAY: 400 * 1440}[self]

    def start(self, minute: int) -> int:
        """Return the first minute of the interval that a minute belongs to."""
        return minute - minute % self


def columns(key: Key) -> Columns:
    """Return a key as it is written to the store."""
    match key:
        case RequestKey():
            return key.proxy, key.location, "", key.code
        case FailureKey():
            return key.proxy, key.location, key.target, key.symptom
        case AttemptKey():
            return key.proxy, "", key.target, key.outcome
        case TargetKey():
            return key.proxy, "", key.target, ""


def part_of(key: Key, part: Part) -> str:
    """Return one part of a key, "" if it has none."""
    return columns(key)[tuple(Part).index(part)]


def key_of(counted: Counted, written: Columns) -> Key:
    """Return the key that `columns` wrote."""
    proxy, location, target, detail = written
    match counted:
        case Counted.REQUESTS:
            return RequestKey(proxy, location, detail)
        case Counted.FAILURES:
            return FailureKey(proxy, location, target, detail)
        case Counted.ATTEMPTS:
            return AttemptKey(proxy, target, detail)
        case Counted.RECOVERED | Counted.DURATIONS:
            return TargetKey(proxy, target)


@lru_cache(maxsize=1 << 13, typed=True)  # two kinds of keys with the same names are equal tuples
def clean_key(key: Named) -> Named:
    """Return a key without secrets, each of its names at most LONGEST characters long."""
    return type(key)(*(_short(redact(part)) for part in key))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def in_other(key: K) -> K:
    """Return the key under which a key is counted when there are too many: same proxy, same symptom, code or outcome."""
    return type(key)(*(OTHER if name in ("location", "target") else part for name, part in zip(key._fields, key, strict=True)))


def is_other(key: Key) -> bool:
    """Return whether many series are counted together under a key."""
    return (key.location if isinstance(key, RequestKey) else key.target) == OTHER


def is_named(key: Key, targets: Collection[TargetKey], locations: Collection[LocationKey]) -> bool:
    """Return whether a configuration with these targets and locations names what a series counts."""
    match key:
        case RequestKey():
            return LocationKey(key.proxy, key.location) in locations
        case FailureKey():
            has_target = not key.target or TargetKey(key.proxy, key.target) in targets
            return has_target and LocationKey(key.proxy, key.location) in locations
        case AttemptKey() | TargetKey():
            return TargetKey(key.proxy, key.target) in targets


class Series:
    """The series that grow, each with the time (seconds since the epoch) of its last growth."""

    __slots__ = ("_growing", "_swept_at", "limit")

    def __init__(self, growing: dict[tuple[Counted, Key], float], limit: int = LIMIT) -> None:
        self._growing = growing
        self._swept_at = 0.0
        self.limit = limit

    def admit(self, counted: Counted, key: K, at_s: float) -> K:
        """Return the key to count under: without secrets, and in OTHER when there are too many series."""
        key = clean_key(key)
        series = (counted, key)
        if series not in self._growing and not self._has_place(at_s):
            return in_other(key)
        self._growing[series] = at_s
        return key

    def _has_place(self, at_s: float) -> bool:
        if len(self._growing) >= self.limit and abs(at_s - self._swept_at) >= 60:
            self._swept_at = at_s
            self._growing = {series: last for series, last in self._growing.items() if last > at_s - QUIET_S}
        return len(self._growing) < self.limit

    def forget(self, ended: set[tuple[Counted, Key]]) -> None:
        """Give up the places of series that are no longer kept."""
        self._growing = {series: last for series, last in self._growing.items() if series not in ended}
