"""What happens to a damaged store: it is moved aside, and what can still be read of it goes to a new one."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from why502.watch.store.file import connect, opened

_PARTS = ("", "-wal", "-shm")
_KEPT = 2  # damaged stores that are kept, the newest
# Without the history of counts and the bundles: copying those could take minutes, and the watch waits meanwhile.
_SAVED = (
    "logs",
    "incidents",
    "incident_data",
    "incident_totals",
    "messages",
    "deliveries",
    "meta",
    "series",
    "totals",
    "members",
    "changes",
    "limits",
    "configured",
)


def replace(path: Path, error: sqlite3.Error, now_s: float) -> str:
    """Move a damaged store aside, and make a new one with what can still be read. Returns a note.

    Raises OSError, sqlite3.Error.
    """
    aside = _move_aside(path, now_s)
    database = opened(path)
    try:
        rows = _rescue(aside, database)
    finally:
        database.close()
    return f"{path} was damaged ({error}): moved to {aside.name}; {rows} rows were rescued, but not the history of counts"


def _move_aside(path: Path, now_s: float) -> Path:
    """Rename a store, and delete all but the newest that were renamed before. Returns its new name. Raises OSError."""
    base = f"{path.name}.damaged-"
    aside = path.with_name(f"{base}{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%S.%fZ}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(aside.with_name(aside.name + part))
    stores = sorted(found for found in path.parent.glob(f"{base}*Z") if found.name.startswith(base))
    for old in stores[:-_KEPT]:
        for part in _PARTS:
            old.with_name(old.name + part).unlink(missing_ok=True)
    return aside


def _rescue(damaged: Path, database: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged store into a new one, in one transaction. Returns the number of rows."""
    try:
        source = connect(damaged, mode="ro")
    except sqlite3.Error:
        return 0
    database.execute("BEGIN IMMEDIATE")
    try:
        return sum(_copy(source, database, table) for table in _SAVED)
    finally:
        database.execute("COMMIT")
        source.close()


def _copy(source: sqlite3.Connection, database: sqlite3.Connection, table: str) -> int:
    """Copy the rows of a table up to the first that cannot be read."""
    count = 0
    with contextlib.suppress(sqlite3.Error):
        for row in source.execute(f"SELECT * FROM {table}"):
            places = ", ".join("?" * len(row))
            database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)
            count += 1
    return count
