"""Reads from the store. Every function takes a connection, and raises sqlite3.Error."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from why502.logs.checkpoint import Checkpoint
from why502.model.base import decode
from why502.model.errors import Why502Error
from why502.watch.model import (
    AttemptKey,
    Change,
    FailureKey,
    Incident,
    Limit,
    LocationKey,
    Member,
    Message,
    RequestKey,
    Seen,
    TargetKey,
)
from why502.watch.store import durations
from why502.watch.store.durations import Durations
from why502.watch.store.series import QUIET_S, Columns, Counted, Key, Part, Ring, is_named, is_other, key_of
from why502.watch.store.values import searched, unpack

HISTORY_MINUTES = 5


@dataclass(slots=True, kw_only=True)
class LogTotals:
    """What was read from one log since the store was made, and its latest state. `at`: when it was read last."""

    proxy: str
    at: datetime
    lines: int = 0
    unparsed: int = 0
    lost_bytes: int = 0
    rotations: int = 0
    lag_bytes: int = 0
    newest_at: datetime | None = None
    reason: str = ""


@dataclass(slots=True)
class IncidentTotals:
    """Incidents that closed, and how long they lasted."""

    count: int = 0
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Totals:
    """Everything counted since the store was made (`born_at`). No number ever goes back.

    `overflow`: how many counts went into OTHER. `deliveries`: by receiver and outcome ("sent", "failed"), as far as they were
    written. `pending`: receiver and key of each message that waits. `incidents`: by cause and fault domain, those that closed.
    `targets`, `locations`: what the configuration names, with the time (seconds) since when it no longer does.
    """

    born_at: datetime
    requests: dict[RequestKey, int] = field(default_factory=dict)
    failures: dict[FailureKey, int] = field(default_factory=dict)
    attempts: dict[AttemptKey, int] = field(default_factory=dict)
    recovered: dict[TargetKey, int] = field(default_factory=dict)
    durations: dict[TargetKey, Durations] = field(default_factory=dict)
    logs: dict[str, LogTotals] = field(default_factory=dict)
    incidents: dict[tuple[str, str], IncidentTotals] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], int] = field(default_factory=dict)
    pending: set[tuple[str, str]] = field(default_factory=set)
    targets: dict[TargetKey, float | None] = field(default_factory=dict)
    locations: dict[LocationKey, float | None] = field(default_factory=dict)
    overflow: int = 0
    store_errors: int = 0
    grew_at_s: dict[tuple[Counted, Key], float] = field(default_factory=dict)

    def add(self, counted: Counted, key: Key, count: int, at_s: float) -> None:
        """Add to the total of a series."""
        found: dict[Key, int] = getattr(self, counted)
        found[key] = found.get(key, 0) + count
        self.grew_at_s[counted, key] = at_s

    def without_ended(self, now_s: float) -> None:
        """Leave out the series that are not configured and have not grown for QUIET_S."""
        since_s = now_s - QUIET_S
        self.targets = {name: gone_at for name, gone_at in self.targets.items() if gone_at is None or gone_at > since_s}
        self.locations = {name: gone_at for name, gone_at in self.locations.items() if gone_at is None or gone_at > since_s}
        for (counted, key), grew_at_s in tuple(self.grew_at_s.items()):
            if grew_at_s <= since_s and not is_other(key) and not is_named(key, self.targets, self.locations):
                del getattr(self, counted)[key], self.grew_at_s[counted, key]


def at(seconds: float) -> datetime:
    """Return a time of the store."""
    return datetime.fromtimestamp(seconds, UTC)


def seen(database: sqlite3.Connection) -> Seen | None:
    """Return what changes are told by; None if there is none, or none that can be read."""
    row = database.execute("SELECT value FROM meta WHERE name = 'seen'").fetchone()
    try:
        return decode(row[0], Seen, "the store") if row else None
    except Why502Error:
        return None  # of another version: the next look learns it anew


def series(database: sqlite3.Connection) -> Iterator[tuple[Counted, Key, int, float]]:
    """Yield every series: its number, and when it grew last."""
    rows = database.execute(
        "SELECT counted, proxy, location, target, detail, id, coalesce(grew_at, 0) FROM series LEFT JOIN totals ON series = id"
    )
    for counted, *columns, number, grew_at in rows:
        kind = Counted(counted)
        yield kind, key_of(kind, (columns[0], columns[1], columns[2], columns[3])), number, grew_at


def totals(database: sqlite3.Connection) -> Totals:
    """Return all totals."""
    meta = dict(database.execute("SELECT name, value FROM meta"))
    found = Totals(born_at=at(meta["born_at"]), overflow=meta.get("overflow", 0), store_errors=meta.get("errors", 0))
    rows = database.execute(
        "SELECT counted, proxy, location, target, detail, count, durations, grew_at FROM totals JOIN series ON series = id"
    )
    for counted, proxy, location, target, detail, count, times, grew_at in rows:
        kind = Counted(counted)
        key = key_of(kind, (proxy, location, target, detail))
        found.grew_at_s[kind, key] = grew_at
        getattr(found, kind)[key] = Durations.decoded(times) if kind is Counted.DURATIONS else count
    for kind, proxy, name, gone_at in database.execute("SELECT kind, proxy, name, gone_at FROM configured"):
        if kind == "target":
            found.targets[TargetKey(proxy, name)] = gone_at
        elif kind == "location":
            found.locations[LocationKey(proxy, name)] = gone_at
    for row in database.execute(
        "SELECT log, proxy, lines, unparsed, lost_bytes, rotations, lag_bytes, newest_at, reason, at FROM logs"
    ):
        found.logs[row[0]] = LogTotals(
            proxy=row[1],
            lines=row[2],
            unparsed=row[3],
            lost_bytes=row[4],
            rotations=row[5],
            lag_bytes=row[6],
            newest_at=at(row[7]) if row[7] is not None else None,
            reason=row[8],
            at=at(row[9]),
        )
    for cause, fault_domain, count, seconds in database.execute("SELECT * FROM incident_totals"):
        found.incidents[cause, fault_domain] = IncidentTotals(count, seconds)
    for receiver, outcome, count in database.execute("SELECT * FROM deliveries"):
        found.deliveries[receiver, outcome] = count
    found.pending = set(database.execute("SELECT receiver, key FROM messages WHERE sent_at IS NULL"))
    return found


def checkpoints(database: sqlite3.Connection) -> dict[str, Checkpoint]:
    """Return how far each log was read."""
    rows = database.execute("SELECT log, checkpoint FROM logs WHERE checkpoint IS NOT NULL")
    return {log: decode(data, Checkpoint, "the store") for log, data in rows}


def counts(database: sqlite3.Connection, counted: Counted, since: int, until: int, ring: Ring) -> dict[tuple[int, Key], int]:
    """Return counts by the first minute of each interval, and key; from the interval with `since` to before `until` (minutes)."""
    keys = {number: key_of(counted, columns) for number, columns in _columns(database, counted).items()}
    return {(start, keys[number]): count for start, number, count in _rows(database, counted, since, until, ring)}


def sums(
    database: sqlite3.Connection, counted: Counted, part: Part, since: int, until: int, ring: Ring
) -> dict[tuple[int, str], int]:
    """Return counts as `counts` does, summed by one part of their keys."""
    place = tuple(Part).index(part)
    names = {number: columns[place] for number, columns in _columns(database, counted).items()}
    found: dict[tuple[int, str], int] = {}
    for start, number, count in _rows(database, counted, since, until, ring):
        name = (start, names[number])
        found[name] = found.get(name, 0) + count
    return found


def _columns(database: sqlite3.Connection, counted: Counted) -> dict[int, Columns]:
    """Return the keys of all series of one kind by their numbers, as they are written."""
    rows = database.execute("SELECT id, proxy, location, target, detail FROM series WHERE counted = ?", (counted,))
    return {number: (proxy, location, target, detail) for number, proxy, location, target, detail in rows}


def _rows(database: sqlite3.Connection, counted: Counted, since: int, until: int, ring: Ring) -> sqlite3.Cursor:
    """Return start, series and count of a time."""
    return database.execute(
        "SELECT start, series, count FROM counts WHERE ring = ? AND start >= ? AND start < ?"
        " AND series IN (SELECT id FROM series WHERE counted = ?)",
        (ring, ring.start(since), until, counted),
    )


def histograms(database: sqlite3.Connection, since: int, until: int, ring: Ring) -> dict[tuple[int, TargetKey], Counter[int]]:
    """Return response times as `counts` does; buckets of `why502.logs.scan.histogram`."""
    rows = database.execute(
        "SELECT start, proxy, target, buckets FROM durations JOIN series ON series = id"
        " WHERE ring = ? AND start >= ? AND start < ?",
        (ring, ring.start(since), until),
    )
    return {(start, TargetKey(proxy, target)): durations.unpack(data) for start, proxy, target, data in rows}


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What incidents are looked for; see Store.incidents."""

    is_open: bool | None
    since: datetime | None
    until: datetime | None
    cause: str
    target: str
    text: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return what must occur in an incident's words."""
        return tuple(word.lower() for word in (self.target, *self.text.split()) if word)

    def conditions(self) -> Iterator[tuple[str, object]]:
        """Yield conditions of SQL, each with its one value."""
        if self.is_open is not None:
            yield "(closed_at IS NULL) = ?", self.is_open
        if self.since is not None:
            yield "coalesce(closed_at, 9e99) >= ?", self.since.timestamp()
        if self.until is not None:
            yield "opened_at < ?", self.until.timestamp()
        if self.cause:
            yield "cause = ?", self.cause
        yield from (("instr(words, ?)", word) for word in self.words)

    def meets(self, incident: Incident) -> bool:
        """Return whether an incident that was not written yet meets all conditions."""
        words = searched(incident)
        return (
            self.is_open in (None, incident.is_open)
            and (self.since is None or incident.closed_at is None or incident.closed_at >= self.since)
            and (self.until is None or incident.opened_at < self.until)
            and self.cause in ("", incident.cause)
            and all(word in words for word in self.words)
        )


def incidents(database: sqlite3.Connection, wanted: Wanted, limit: int, offset: int) -> list[Incident]:
    """Return the incidents that meet all conditions, the newest first."""
    conditions = list(wanted.conditions())
    where = " AND ".join(condition for condition, _ in conditions) or "1"
    rows = database.execute(
        f"SELECT data FROM (SELECT id, opened_at FROM incidents WHERE {where} ORDER BY opened_at DESC, id LIMIT ? OFFSET ?)"
        " JOIN incident_data USING (id) ORDER BY opened_at DESC, id",
        (*(value for _, value in conditions), limit, offset),
    )
    return [unpack(data, Incident) for (data,) in rows]


def incident_ids(database: sqlite3.Connection, beginning: str) -> list[str]:
    """Return the ids that begin with a text, at most 3."""
    rows = database.execute("SELECT id FROM incidents WHERE substr(id, 1, ?) = ? LIMIT 3", (len(beginning), beginning))
    return [found for (found,) in rows]


def incident(database: sqlite3.Connection, id_: str) -> Incident | None:
    """Return an incident."""
    row = database.execute("SELECT data FROM incident_data WHERE id = ?", (id_,)).fetchone()
    return unpack(row[0], Incident) if row else None


def bundle(database: sqlite3.Connection, id_: str) -> bytes | None:
    """Return the bundle of an incident."""
    row = database.execute("SELECT data FROM bundles WHERE incident = ?", (id_,)).fetchone()
    return bytes(row[0]) if row else None


def members(database: sqlite3.Connection) -> list[Member]:
    """Return all members."""
    return [unpack(data, Member) for (data,) in database.execute("SELECT data FROM members")]


def changes(database: sqlite3.Connection, since: datetime | None, until: datetime | None) -> list[Change]:
    """Return the changes of a time, oldest first."""
    rows = database.execute(
        "SELECT data FROM changes WHERE at >= ? AND at < ? ORDER BY at, id",
        (since.timestamp() if since else 0.0, until.timestamp() if until else float("inf")),
    )
    return [unpack(data, Change) for (data,) in rows]


def limits(database: sqlite3.Connection) -> list[Limit]:
    """Return the latest state of each limit."""
    return [unpack(data, Limit) for (data,) in database.execute("SELECT data FROM limits ORDER BY kind, subject")]


def limit_history(database: sqlite3.Connection, since: datetime) -> Iterator[Limit]:
    """Yield the samples of all limits since a time, one in HISTORY_MINUTES, oldest first; none of earlier processes."""
    latest = {number: unpack(data, Limit) for number, data in database.execute("SELECT id, data FROM limits")}
    rows = database.execute(
        "SELECT minute, limit_id, used, size FROM limit_samples WHERE minute >= ? AND minute % ? = 0 ORDER BY minute",
        (int(since.timestamp()) // 60, HISTORY_MINUTES),
    )
    for minute, number, used, size in rows:
        limit, at = latest.get(number), datetime.fromtimestamp(minute * 60, UTC)
        if limit is not None and (limit.since is None or limit.since <= at):
            yield Limit(kind=limit.kind, subject=limit.subject, at=at, used=used, limit=size, since=limit.since)


def messages(database: sqlite3.Connection, receiver: str) -> list[Message]:
    """Return the messages that were not sent, oldest first."""
    rows = database.execute("SELECT data FROM messages WHERE receiver = ? AND sent_at IS NULL ORDER BY made_at, key", (receiver,))
    return [unpack(data, Message) for (data,) in rows]


def sent(database: sqlite3.Connection, receiver: str, incident_id: str) -> list[Message]:
    """Return the messages about an incident that were sent, oldest first."""
    rows = database.execute(
        "SELECT data FROM messages WHERE receiver = ? AND incident = ? AND sent_at IS NOT NULL ORDER BY sent_at, key",
        (receiver, incident_id),
    )
    return [unpack(data, Message) for (data,) in rows]
