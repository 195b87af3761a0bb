"""Writes what was not written yet. The caller begins and ends the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from why502.model.base import encode
from why502.redaction import redact
from why502.watch.model import Configured, Incident, Limit, Member, Message
from why502.watch.store import durations
from why502.watch.store.durations import Durations
from why502.watch.store.series import QUIET_S, Columns, Counted, Key, Ring, clean_key, columns
from why502.watch.store.unsaved import LogPart, MemberKey, Unsaved
from why502.watch.store.values import pack, searched

ADD_COUNT = "ON CONFLICT DO UPDATE SET count = count + excluded.count"
ADD_BUCKETS = "ON CONFLICT DO UPDATE SET buckets = merged(buckets, excluded.buckets)"
SeriesIds = dict[tuple[Counted, Key], int]


def add_functions(database: sqlite3.Connection) -> None:
    """Give a connection the functions that the statements below use."""
    database.create_function("merged", 2, durations.merge_packed, deterministic=True)
    database.create_function("summed", 2, _summed, deterministic=True)


def _summed(first: bytes | None, second: bytes | None) -> bytes | None:
    """Return the sum of two total histograms; None where no time was counted."""
    if first is None or second is None:
        return first or second
    total = Durations.decoded(first)
    total.add(Durations.decoded(second))
    return total.encoded()


def write(database: sqlite3.Connection, unsaved: Unsaved, known: SeriesIds) -> SeriesIds:
    """Write everything. Returns the series that are new. Raises sqlite3.Error."""
    at_s = unsaved.at.timestamp()
    new = _new_series(database, unsaved, known)
    ids = known | new if new else known
    _counts(database, unsaved, ids, at_s)
    _durations(database, unsaved, ids, at_s)
    if unsaved.overflow:
        add_meta(database, "overflow", unsaved.overflow)
    _logs(database, unsaved.logs)
    _members(database, unsaved.members, at_s)
    _limits(database, list(unsaved.limits.values()))
    database.executemany(
        "INSERT INTO changes (at, kind, subject, data) VALUES (?, ?, ?, ?)",
        [(change.at.timestamp(), change.kind, redact(change.subject), pack(change)) for change in unsaved.changes],
    )
    for incident in unsaved.incidents.values():
        _incident(database, incident)
    for message in unsaved.messages.values():
        _message(database, message)
    database.executemany(
        "INSERT OR REPLACE INTO bundles VALUES (?, ?, ?, ?)",
        [(incident, at_s, len(data), data) for incident, data in unsaved.bundles.items()],
    )
    if unsaved.configured is not None:
        _configured(database, unsaved.configured, at_s)
    if unsaved.seen is not None:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('seen', ?)", (encode(unsaved.seen),))
    return new


def _new_series(database: sqlite3.Connection, unsaved: Unsaved, known: SeriesIds) -> SeriesIds:
    used = {(counted, key) for counted, found in unsaved.counts.items() for _, key in found}
    used |= {(Counted.DURATIONS, key) for _, key in unsaved.durations}
    return series_ids(database, used - known.keys())


def series_ids(database: sqlite3.Connection, wanted: set[tuple[Counted, Key]]) -> SeriesIds:
    """Return the numbers of series, which are added where they are missing. Raises sqlite3.Error."""
    found = {}
    for counted, key in wanted:
        named: tuple[str, *Columns] = (counted, *columns(key))
        database.execute("INSERT OR IGNORE INTO series (counted, proxy, location, target, detail) VALUES (?, ?, ?, ?, ?)", named)
        (found[counted, key],) = database.execute(
            "SELECT id FROM series WHERE counted = ? AND proxy = ? AND location = ? AND target = ? AND detail = ?", named
        ).fetchone()
    return found


def _intervals(minutes: Iterable[int], at_s: float) -> dict[int, list[tuple[int, int]]]:
    """Return for each minute the rings that still reach it, each with the start of its interval."""
    now = int(at_s) // 60
    return {
        minute: [(int(ring), ring.start(minute)) for ring in Ring if minute > now - ring.kept]
        for minute in dict.fromkeys(minutes)
    }


def _counts(database: sqlite3.Connection, unsaved: Unsaved, ids: SeriesIds, at_s: float) -> None:
    """Add to the totals, and to the minutes, hours and days that are still kept."""
    counts = [(minute, ids[kind, key], count) for kind, found in unsaved.counts.items() for (minute, key), count in found.items()]
    intervals = _intervals((minute for minute, _, _ in counts), at_s)
    database.executemany(
        f"INSERT INTO counts VALUES (?, ?, ?, ?) {ADD_COUNT}",
        [(ring, start, number, count) for minute, number, count in counts for ring, start in intervals[minute]],
    )
    database.executemany(
        "INSERT INTO totals (series, count, grew_at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count, grew_at = excluded.grew_at",
        [(number, count, at_s) for _, number, count in counts],
    )


def _durations(database: sqlite3.Connection, unsaved: Unsaved, ids: SeriesIds, at_s: float) -> None:
    totals: dict[int, Durations] = {}
    packed = []
    for (minute, key), buckets in unsaved.durations.items():
        number = ids[Counted.DURATIONS, key]
        totals.setdefault(number, Durations.none()).add(Durations.of(buckets))
        packed.append((minute, number, durations.pack(buckets)))
    intervals = _intervals((minute for minute, _, _ in packed), at_s)
    database.executemany(
        f"INSERT INTO durations VALUES (?, ?, ?, ?) {ADD_BUCKETS}",
        [(ring, start, number, buckets) for minute, number, buckets in packed for ring, start in intervals[minute]],
    )
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET count = count + excluded.count, grew_at = excluded.grew_at, durations = summed(durations, excluded.durations)",
        [(number, sum(total.counts), at_s, total.encoded()) for number, total in totals.items()],
    )


def add_meta(database: sqlite3.Connection, name: str, value: int) -> None:
    """Add to a number that belongs to the whole store."""
    database.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value", (name, value))


def _logs(database: sqlite3.Connection, logs: dict[str, LogPart]) -> None:
    database.executemany(
        "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET proxy = excluded.proxy,"
        " checkpoint = coalesce(excluded.checkpoint, checkpoint), lines = lines + excluded.lines,"
        " unparsed = unparsed + excluded.unparsed, lost_bytes = lost_bytes + excluded.lost_bytes,"
        " rotations = rotations + excluded.rotations, lag_bytes = excluded.lag_bytes,"
        " newest_at = max(coalesce(newest_at, 0), coalesce(excluded.newest_at, newest_at)), reason = excluded.reason,"
        " at = excluded.at",
        [
            (
                log,
                part.proxy,
                # Not cleaned: it must lead to the same file again.
                encode(part.checkpoint) if part.checkpoint else None,
                part.lines,
                part.unparsed,
                part.lost_bytes,
                part.rotations,
                part.lag_bytes,
                part.newest_at.timestamp() if part.newest_at else None,
                redact(part.reason),
                part.at.timestamp(),
            )
            for log, part in logs.items()
        ],
    )


def _members(database: sqlite3.Connection, members: dict[MemberKey, Member], at_s: float) -> None:
    database.executemany(
        "INSERT INTO members VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, data = excluded.data",
        [(*key, at_s, pack(member)) for key, member in members.items()],
    )


def _limits(database: sqlite3.Connection, limits: list[Limit]) -> None:
    for limit in limits:
        at_s = limit.at.timestamp()
        subject = redact(limit.subject)
        (number,) = database.execute(
            "INSERT INTO limits (kind, subject, at, data) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, data = excluded.data RETURNING id",
            (limit.kind, subject, at_s, pack(limit)),
        ).fetchone()
        database.execute(
            "INSERT OR REPLACE INTO limit_samples VALUES (?, ?, ?, ?)", (int(at_s) // 60, number, limit.used, limit.limit)
        )


def _incident(database: sqlite3.Connection, incident: Incident) -> None:
    """Save an incident. When it closes, it and its time are added to the totals of its cause, which therefore never go back."""
    row = database.execute("SELECT counted_s FROM incidents WHERE id = ?", (incident.id,)).fetchone()
    counted_s = row[0] if row else None
    if incident.closed_at is not None:
        lasted_s = max((incident.closed_at - incident.opened_at).total_seconds(), counted_s or 0.0)
        database.execute(
            "INSERT INTO incident_totals VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count, seconds = seconds + excluded.seconds",
            (incident.cause, incident.fault_domain, int(counted_s is None), lasted_s - (counted_s or 0.0)),
        )
        counted_s = lasted_s
    database.execute(
        "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            incident.id,
            incident.opened_at.timestamp(),
            incident.closed_at.timestamp() if incident.closed_at else None,
            incident.cause,
            incident.fault_domain,
            redact(incident.target),
            counted_s,
            searched(incident),
        ),
    )
    database.execute("INSERT OR REPLACE INTO incident_data VALUES (?, ?)", (incident.id, pack(incident)))


def _message(database: sqlite3.Connection, message: Message) -> None:
    """Save a message, and count what became of it since it was saved last."""
    key = (message.receiver, message.key)
    tries, sent_at = database.execute("SELECT tries, sent_at FROM messages WHERE receiver = ? AND key = ?", key).fetchone() or (
        0,
        None,
    )
    is_new = message.sent_at is not None and sent_at is None and not message.error
    failed = max(message.tries - tries - is_new, 0)
    database.executemany(
        "INSERT INTO deliveries VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(message.receiver, outcome, count) for outcome, count in (("sent", int(is_new)), ("failed", failed)) if count],
    )
    database.execute(
        "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            message.incident.id,
            message.made_at.timestamp(),
            message.next_try_at.timestamp() if message.next_try_at else None,
            message.sent_at.timestamp() if message.sent_at else None,
            message.tries,
            pack(message),
        ),
    )


def _names(*names: str) -> str:
    """Return several names as one text; `json` reads it."""
    return encode(names).decode()


def _configured(database: sqlite3.Connection, configured: Configured, at_s: float) -> None:
    """Save what is configured; what no longer is keeps its counters for QUIET_S."""
    database.execute("UPDATE configured SET gone_at = coalesce(gone_at, ?)", (at_s,))
    database.executemany(
        "INSERT INTO configured VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET gone_at = NULL",
        [
            *(("target", *clean_key(key)) for key in configured.targets),
            *(("location", *clean_key(key)) for key in configured.locations),
            *(("route", key.proxy, _names(*key[1:])) for key in map(clean_key, configured.routes)),
            *(("peer", key.proxy, _names(*key[1:])) for key in map(clean_key, configured.peers)),
            *(("owner", key.proxy, _names(*key[1:])) for key in map(clean_key, configured.owners)),
        ],
    )
    database.execute("DELETE FROM configured WHERE gone_at <= ?", (at_s - QUIET_S,))
