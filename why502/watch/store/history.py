"""What a page of a browser asks: sums over many incidents, and what the configuration names. For `Store.ask`.

Every function takes a connection, and raises sqlite3.Error.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from why502.model.base import decode
from why502.watch.model import AttemptKey, Configured, OwnerKey, PeerKey, RouteKey, TargetKey
from why502.watch.store.durations import unpack_sum
from why502.watch.store.reading import Wanted, at
from why502.watch.store.series import Columns, Counted, Key, Ring, key_of

_WEEK_S = 7 * 86_400
_OF_TARGET = " AND series IN (SELECT id FROM series WHERE target = ?)"
_MONDAY_S = 4 * 86_400  # the epoch was a Thursday


class By(StrEnum):
    """What incidents are summed by."""

    CAUSE = "cause"
    TARGET = "target"
    WEEK = "week"


@dataclass(slots=True, frozen=True, kw_only=True)
class Group:
    """Incidents that have something in common. `name`: the cause, target, or ISO date of a Monday; "" if unknown."""

    name: str
    count: int
    open: int
    seconds: float  # that they were open, each for itself


_NAMES = {
    By.CAUSE: "cause",
    By.TARGET: "target",
    By.WEEK: f"date((CAST(opened_at AS INTEGER) - {_MONDAY_S}) / {_WEEK_S} * {_WEEK_S} + {_MONDAY_S}, 'unixepoch')",
}


def groups(database: sqlite3.Connection, by: By, wanted: Wanted, now: datetime) -> list[Group]:
    """Return incidents summed up, the longest first; weeks in their order. Time outside of what is wanted does not count."""
    where, values = _where(wanted)
    end = min(filter(None, (wanted.until, now))).timestamp()
    begin = wanted.since.timestamp() if wanted.since else 0.0
    order = "1" if by is By.WEEK else "4 DESC, 2 DESC, 1"
    rows = database.execute(
        f"SELECT {_NAMES[by]}, count(*), sum(closed_at IS NULL),"
        " sum(max(min(coalesce(closed_at, ?), ?) - max(opened_at, ?), 0))"
        f" FROM incidents WHERE {where} GROUP BY 1 ORDER BY {order}",
        (end, end, begin, *values),
    )
    return [Group(name=name, count=count, open=open_, seconds=seconds) for name, count, open_, seconds in rows]


def count(database: sqlite3.Connection, wanted: Wanted) -> int:
    """Return how many incidents meet all conditions."""
    where, values = _where(wanted)
    (found,) = database.execute(f"SELECT count(*) FROM incidents WHERE {where}", values).fetchone()
    return int(found)


def _where(wanted: Wanted) -> tuple[str, tuple[object, ...]]:
    conditions = list(wanted.conditions())
    return " AND ".join(condition for condition, _ in conditions) or "1", tuple(value for _, value in conditions)


def summed(
    database: sqlite3.Connection, counted: Collection[Counted], since: int, until: int, ring: Ring, target: str = ""
) -> dict[Counted, dict[Key, int]]:
    """Return how often each series grew, from the interval with `since` to before `until` (minutes), by what it counts.

    One look at the counts answers for all kinds. `target`: only those of one.
    """
    rows = database.execute(
        "SELECT counted, proxy, location, target, detail, total FROM (SELECT series, sum(count) AS total FROM counts"
        f" WHERE ring = ? AND start >= ? AND start < ?{_OF_TARGET if target else ''} GROUP BY series) JOIN series ON series = id",
        (ring, ring.start(since), until, *([target] if target else ())),
    )
    found: dict[Counted, dict[Key, int]] = {kind: {} for kind in counted}
    for name, *columns, total in rows:
        if name in found:
            kind = Counted(name)
            found[kind][_key(kind, columns)] = total
    return found


def durations(
    database: sqlite3.Connection, since: int, until: int, ring: Ring, target: str = ""
) -> dict[TargetKey, Counter[int]]:
    """Return the response times of each target in such a time, or of one, in buckets of `why502.logs.scan.histogram`."""
    packed: dict[int, list[bytes]] = {}
    rows = database.execute(
        f"SELECT series, buckets FROM durations WHERE ring = ? AND start >= ? AND start < ?{_OF_TARGET if target else ''}",
        (ring, ring.start(since), until, *([target] if target else ())),
    )
    for number, data in rows:
        packed.setdefault(number, []).append(data)
    names = {
        number: TargetKey(proxy, name)
        for number, proxy, name in database.execute(
            "SELECT id, proxy, target FROM series WHERE counted = ?", (Counted.DURATIONS,)
        )
    }
    return {names[number]: unpack_sum(parts) for number, parts in packed.items()}


def attempts_of(
    database: sqlite3.Connection, target: str, since: int, until: int, ring: Ring
) -> list[tuple[int, AttemptKey, int]]:
    """Return the attempts of one target by interval: its first minute, the key, and how many."""
    rows = database.execute(
        "SELECT start, proxy, target, detail, count FROM series JOIN counts ON series = id"
        " WHERE counted = ? AND target = ? AND ring = ? AND start >= ? AND start < ?",
        (Counted.ATTEMPTS, target, ring, ring.start(since), until),
    )
    return [(start, AttemptKey(proxy, name, outcome), number) for start, proxy, name, outcome, number in rows]


def durations_of(
    database: sqlite3.Connection, target: str, since: int, until: int, ring: Ring
) -> list[tuple[int, TargetKey, Counter[int]]]:
    """Return the response times of one target by interval, as `durations` does."""
    rows = database.execute(
        "SELECT start, proxy, target, buckets FROM series JOIN durations ON series = id"
        " WHERE counted = ? AND target = ? AND ring = ? AND start >= ? AND start < ?",
        (Counted.DURATIONS, target, ring, ring.start(since), until),
    )
    return [(start, TargetKey(proxy, name), unpack_sum((data,))) for start, proxy, name, data in rows]


def _key(counted: Counted, columns: list[str]) -> Key:
    named: Columns = (columns[0], columns[1], columns[2], columns[3])
    return key_of(counted, named)


def configured(database: sqlite3.Connection) -> Configured:
    """Return the targets and routes that the configuration in force names."""
    targets, routes, peers, owners = set(), set(), set(), set()
    for kind, proxy, name in database.execute("SELECT kind, proxy, name FROM configured WHERE gone_at IS NULL"):
        if kind == "target":
            targets.add(TargetKey(proxy, name))
        elif kind == "route":
            routes.add(RouteKey(proxy, *decode(name.encode(), tuple[str, str, str], "the store")))
        elif kind == "peer":
            peers.add(PeerKey(proxy, *decode(name.encode(), tuple[str, str], "the store")))
        elif kind == "owner":
            owners.add(OwnerKey(proxy, *decode(name.encode(), tuple[str, str], "the store")))
    return Configured(targets=frozenset(targets), routes=frozenset(routes), peers=frozenset(peers), owners=frozenset(owners))


def newest(database: sqlite3.Connection) -> datetime | None:
    """Return when something was written last: a line of a log, a check, a limit; None if nothing was."""
    (found,) = database.execute(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM logs UNION ALL SELECT max(at) FROM members"
        " UNION ALL SELECT max(at) FROM limits)"
    ).fetchone()
    return at(found) if found is not None else None
