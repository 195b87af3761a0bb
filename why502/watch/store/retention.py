"""How long things are kept, and how large the store may become."""

from __future__ import annotations

import sqlite3

from why502.watch.store import reading
from why502.watch.store.series import Counted, Key, Ring, in_other, is_other
from why502.watch.store.writing import ADD_BUCKETS, ADD_COUNT, series_ids

DAY_S = 86_400.0
ROOMY_BYTES = 160_000_000  # above this, the oldest details are deleted

ROWS = 20_000  # deleted at a time: the watch waits meanwhile
IDLE_S = 35 * DAY_S  # of a series; its days are then kept in OTHER

# What is deleted: table, condition. `?` is the time before which nothing is kept.
_OLD: tuple[tuple[str, str, float], ...] = (
    ("members", "at < ?", DAY_S),
    ("limits", "at < ?", 35 * DAY_S),
    ("logs", "at < ?", 400 * DAY_S),
    ("changes", "at < ?", 400 * DAY_S),
    ("messages", "coalesce(sent_at, made_at) < ?", 35 * DAY_S),
    ("bundles", "at < ?", 90 * DAY_S),
    ("limit_samples", "minute * 60 < ?", 2 * DAY_S),
)
# What is deleted when there are more: table, number of rows, the order in which they go.
_MANY: tuple[tuple[str, int, str], ...] = (
    ("bundles", 200, "at"),
    ("logs", 1000, "at"),
    ("changes", 20_000, "id"),
    ("messages", 20_000, "sent_at IS NULL, made_at"),
)
_NO_INCIDENT = "DELETE FROM incident_data WHERE id NOT IN (SELECT id FROM incidents)"
_OLDEST = (
    "DELETE FROM {table} WHERE ring = {ring} AND start = (SELECT min(start) FROM {table} WHERE ring = {ring})"
    " AND start < (SELECT max(start) FROM {table} WHERE ring = {ring}) - ?"
)
_CLOSED = (
    "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE closed_at IS NOT NULL ORDER BY opened_at DESC"
    " LIMIT 100 OFFSET max((SELECT count(*) FROM incidents WHERE closed_at IS NOT NULL) - 100, ?))"
)
# What is deleted while the store is too large, and how much of it is spared as long as deleting the rest is enough. Each
# statement deletes a small part, the oldest. Incidents that are open stay.
_LARGE = (
    ("DELETE FROM bundles WHERE incident IN (SELECT incident FROM bundles ORDER BY at DESC LIMIT -1 OFFSET ?)", 20),
    *(
        (_OLDEST.format(table=table, ring=int(ring)), spared)
        for ring, spared in ((Ring.MINUTE, 6 * 60), (Ring.HOUR, 7 * 1440))
        for table in ("durations", "counts")
    ),
    (_CLOSED, 1000),
)


def prune(database: sqlite3.Connection, at_s: float) -> None:
    """Delete what is kept no longer, in a transaction of the caller. What one call leaves, the next ones delete.

    Raises sqlite3.Error.
    """
    for table, condition, age_s in _OLD:
        database.execute(f"DELETE FROM {table} WHERE {condition}", (at_s - age_s,))
    for table, count, order in _MANY:
        database.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY {order} DESC LIMIT -1 OFFSET ?)",
            (count,),
        )
    for ring in Ring:
        for table in ("counts", "durations"):
            _cut(database, table, ring, int(at_s) // 60 - ring.kept)
    _fit(database)


def _cut(database: sqlite3.Connection, table: str, ring: Ring, since: int) -> None:
    """Delete the intervals before `since` (a minute), at most ROWS rows and one interval more."""
    deleted = 0
    while deleted < ROWS:
        (oldest,) = database.execute(f"SELECT min(start) FROM {table} WHERE ring = ?", (ring,)).fetchone()
        if oldest is None or oldest >= ring.start(since):
            return
        deleted += database.execute(f"DELETE FROM {table} WHERE ring = ? AND start = ?", (ring, oldest)).rowcount


def _fit(database: sqlite3.Connection) -> None:
    """Delete the oldest details while the store is too large, at most ROWS rows and a few more."""
    deleted = 0
    for is_sparing in (True, False):
        for statement, spared in _LARGE:
            while used_bytes(database) > ROOMY_BYTES:
                if deleted > ROWS:
                    return
                if not (rows := database.execute(statement, (spared if is_sparing else 0,)).rowcount):
                    break
                deleted += rows
            database.execute(_NO_INCIDENT)


def used_bytes(database: sqlite3.Connection) -> int:
    """Return how much of the file is in use."""
    size, pages, free = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))


def shrink(database: sqlite3.Connection) -> None:
    """Give unused pages back to the disk when there are many. Raises sqlite3.Error."""
    pages, free = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    if free > 1000 and free > pages // 4:
        database.executescript("PRAGMA incremental_vacuum(1000)")  # execute() would free a single page


def fold_idle(database: sqlite3.Connection, at_s: float) -> set[tuple[Counted, Key]]:
    """Move the days of series that have not grown for IDLE_S to OTHER. Returns those series, which are no longer there.

    Without it, targets that live for a day (as pods do) would add series for ever. Raises sqlite3.Error.
    """
    idle = [
        (counted, key, number)
        for counted, key, number, grew_at in reading.series(database)
        if grew_at < at_s - IDLE_S and not is_other(key)
    ]
    others = series_ids(database, {(counted, in_other(key)) for counted, key, _ in idle})
    database.execute("CREATE TEMP TABLE IF NOT EXISTS folded (series INTEGER PRIMARY KEY, other INTEGER NOT NULL)")
    database.execute("DELETE FROM folded")
    database.executemany("INSERT INTO folded VALUES (?, ?)", [(number, others[one, in_other(key)]) for one, key, number in idle])
    for table, column, conflict in (("counts", "count", ADD_COUNT), ("durations", "buckets", ADD_BUCKETS)):
        days = database.execute(
            f"SELECT ring, start, other, {column} FROM {table} JOIN folded USING (series) WHERE ring = ?",
            (Ring.DAY,),
        ).fetchall()
        database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?) {conflict}", days)
        database.execute(f"DELETE FROM {table} WHERE series IN (SELECT series FROM folded)")
    for table, column in (("totals", "series"), ("series", "id")):
        database.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT series FROM folded)")
    return {(counted, key) for counted, key, _ in idle}
