"""The tables of the store, and how an older store becomes a newer one.

Times are seconds since the epoch; `start` and `minute` are in minutes since the epoch. A migration is never changed after a
release; add one. A new field of a value that is stored as JSON needs one too, even an empty one: earlier versions cannot read
that value.
"""

from __future__ import annotations

import sqlite3

APPLICATION = 0x77353032  # "w502", SQLite's application_id

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL);
CREATE TABLE configured (kind TEXT, proxy TEXT, name TEXT, gone_at REAL, PRIMARY KEY (kind, proxy, name)) STRICT, WITHOUT ROWID;
CREATE TABLE logs (
  log TEXT PRIMARY KEY, proxy TEXT NOT NULL, checkpoint BLOB, lines INTEGER NOT NULL, unparsed INTEGER NOT NULL,
  lost_bytes INTEGER NOT NULL, rotations INTEGER NOT NULL, lag_bytes INTEGER NOT NULL, newest_at REAL, reason TEXT NOT
  NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE series (
  id INTEGER PRIMARY KEY, counted TEXT NOT NULL, proxy TEXT NOT NULL, location TEXT NOT NULL, target TEXT NOT NULL,
  detail TEXT NOT NULL, UNIQUE (counted, proxy, location, target, detail)
) STRICT;
CREATE TABLE totals (series INTEGER PRIMARY KEY, count INTEGER NOT NULL, grew_at REAL NOT NULL, durations BLOB) STRICT;
CREATE TABLE counts (
  ring INTEGER, start INTEGER, series INTEGER, count INTEGER NOT NULL, PRIMARY KEY (ring, start, series)
) STRICT, WITHOUT ROWID;
CREATE TABLE durations (
  ring INTEGER, start INTEGER, series INTEGER, buckets BLOB NOT NULL, PRIMARY KEY (ring, start, series)
) STRICT, WITHOUT ROWID;
CREATE TABLE members (
  proxy TEXT, upstream TEXT, peer TEXT, at REAL NOT NULL, data BLOB NOT NULL, PRIMARY KEY (proxy, upstream, peer)
) STRICT, WITHOUT ROWID;
CREATE TABLE changes (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX changes_at ON changes (at);
CREATE TABLE limits (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, data BLOB NOT NULL, UNIQUE
  (kind, subject)
) STRICT;
CREATE TABLE limit_samples (
  minute INTEGER, limit_id INTEGER, used REAL NOT NULL, size REAL NOT NULL, PRIMARY KEY (minute, limit_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE incidents (
  id TEXT PRIMARY KEY, opened_at REAL NOT NULL, closed_at REAL, cause TEXT NOT NULL, fault_domain TEXT NOT NULL,
  target TEXT NOT NULL, counted_s REAL, words TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_opened ON incidents (opened_at);
CREATE INDEX incidents_open ON incidents (opened_at) WHERE closed_at IS NULL;
CREATE TABLE incident_data (id TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE incident_totals (
  cause TEXT, fault_domain TEXT, count INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (cause, fault_domain)
) STRICT, WITHOUT ROWID;
CREATE TABLE bundles (incident TEXT PRIMARY KEY, at REAL NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE INDEX bundles_at ON bundles (at, size);
CREATE TABLE messages (
  receiver TEXT, key TEXT, incident TEXT NOT NULL, made_at REAL NOT NULL, next_try_at REAL, sent_at REAL, tries
  INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (receiver, key)
) STRICT;
CREATE INDEX messages_pending ON messages (receiver, made_at) WHERE sent_at IS NULL;
CREATE TABLE deliveries (
  receiver TEXT, outcome TEXT, count INTEGER NOT NULL, PRIMARY KEY (receiver, outcome)
) STRICT, WITHOUT ROWID
"""

MIGRATIONS = (_FIRST,)


def version(database: sqlite3.Connection) -> int:
    """Return the number of migrations that a store went through; 0: it is empty."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)


def is_foreign(database: sqlite3.Connection) -> bool:
    """Return whether it holds the tables of another program."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables) and application != APPLICATION


def migrate(database: sqlite3.Connection, now_s: float) -> None:
    """Bring a store to the newest version, in one transaction. Raises sqlite3.Error; the store is then as it was."""
    if version(database) == len(MIGRATIONS):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[version(database) :]:
            for statement in script.split(";"):
                database.execute(statement)
        database.execute("INSERT OR IGNORE INTO meta VALUES ('born_at', ?)", (now_s,))
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
