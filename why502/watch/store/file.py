"""The file of the store: its lock, its connections, and what its errors mean."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from why502.model.errors import Why502Error
from why502.watch.store import schema, writing

FULL_BYTES = 180_000_000  # of the file; with its write-ahead log, a store stays below 200 MB
WAL_BYTES = 16_000_000
PATIENCE_S = 5.0  # how long to wait for another process that holds the store, as a backup does

# Primary result codes of SQLite (sqlite.org/rescode.html).
_UNABLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_unable(error: sqlite3.Error) -> bool:
    """Return whether the disk or another process is in the way, so that the same may succeed later."""
    return _code(error) in _UNABLE


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether the file's content is damaged."""
    return _code(error) in _DAMAGED


def is_full(error: sqlite3.Error) -> bool:
    """Return whether there is no space left, on the disk or in the size that a store may have."""
    return _code(error) == sqlite3.SQLITE_FULL


class Unavailable(Why502Error):
    """The store cannot be opened now; the same may succeed later."""


class Lock:
    """The right to write a store: one process has it. It ends with the process, however that ends.

    `is_new`: nobody had one for this store before.
    """

    __slots__ = ("_descriptor", "is_new")

    def __init__(self, path: Path) -> None:
        """Raises Why502Error if another process has it, or the directory cannot be written."""
        name = path.with_name(path.name + ".lock")
        self.is_new = not name.exists()
        try:
            path.parent.mkdir(0o750, parents=True, exist_ok=True)
            self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise unwritable(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise Why502Error(
                f"{path} is in use by another `why502 watch`",
                "Stop that one first, or name another file with --store.",
            ) from error

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def unwritable(path: Path, reason: str) -> Why502Error:
    """Return the error for a store that cannot be written."""
    return Why502Error(
        f"{path} cannot be written: {reason.lower()}", "Run it as the owner of that directory, or name another file with --store."
    )


def connect(path: Path, *, mode: str = "rwc") -> sqlite3.Connection:
    """Return a connection without transactions of its own. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
    )


def opened(path: Path) -> sqlite3.Connection:
    """Return a connection that writes the newest version of the store. Raises Why502Error, sqlite3.Error, OSError."""
    path.touch(0o640)
    return _connected(path, "rwc", _prepare)


def readable(path: Path) -> sqlite3.Connection:
    """Return a connection that reads a store. Raises Why502Error, sqlite3.Error.

    Whoever may not write in its directory can read a store of a stopped `why502 watch` only as a file that nobody changes.
    """
    try:
        return _connected(path, "ro", _check)
    except sqlite3.OperationalError as error:
        is_stopped = not path.with_name(path.name + "-wal").exists()
        if not is_stopped or _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _connected(path, "ro&immutable=1", _check)


def _connected(path: Path, mode: str, prepare: Callable[[sqlite3.Connection, Path], None]) -> sqlite3.Connection:
    """Return a connection once it is prepared; it is closed if that fails."""
    database = connect(path, mode=mode)
    try:
        prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    _check(database, path)
    if schema.version(database) == 0:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    database.execute(f"PRAGMA max_page_count = {FULL_BYTES // page_bytes}")
    schema.migrate(database, time.time())
    writing.add_functions(database)


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Raises Why502Error if the file is not a store, or one that this version cannot read."""
    if schema.is_foreign(database):
        raise Why502Error(f"{path} is the database of another program", "Name another file with --store.")
    newest = len(schema.MIGRATIONS)
    if (found := schema.version(database)) > newest:
        raise Why502Error(
            f"{path} was written by a newer why502 (version {found} of the store; this one reads up to {newest})",
            "Install that version again, or name another file with --store.",
        )


def check_readable(path: Path) -> None:
    """Raises Why502Error if there is no store to read."""
    if not path.exists():
        raise Why502Error(f"no store at {path}", "`why502 watch` creates it; give its path with --store.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what prevents a store from being opened into Why502Error."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Unavailable(
                f"{path} is locked by another process", "Start again when that process (a backup?) has finished."
            ) from error
        if is_full(error):
            raise Unavailable(f"{path} cannot be opened: {error}", "Free some space on that disk.") from error
        if is_unable(error):
            raise Why502Error(f"{path} cannot be opened: {error}", "Check the disk, and the permissions there.") from error
        raise Why502Error(f"{path} is not a store of why502: {error}", "Name another file with --store.") from error
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unreadable(path: Path, error: sqlite3.Error) -> Why502Error:
    """Return the error for a store that cannot be read."""
    return Why502Error(f"{path} cannot be read: {error}", "Check the disk, and the permissions of the file.")
