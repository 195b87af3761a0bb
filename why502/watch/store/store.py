"""Store: what `why502 watch` keeps, for itself and for the processes that show it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from why502.logs.checkpoint import Checkpoint
from why502.model.errors import Why502Error
from why502.render.words import clock
from why502.watch.model import Batch, Change, Incident, Limit, Member, Message, Seen, TargetKey
from why502.watch.store import damage, file, reading, retention, writing
from why502.watch.store.file import Lock
from why502.watch.store.reading import Totals
from why502.watch.store.series import QUIET_S, Counted, Key, Part, Ring, Series, part_of
from why502.watch.store.unsaved import Unsaved

T = TypeVar("T")
_RETRY_S = (1.0, 2.0, 5.0, 10.0)  # between attempts to write, while the disk or another process is in the way
_MANY_COUNTS = 50_000  # in memory; above, older minutes are added up
_PRUNE_S = 60.0
_FOLD_S = 86_400.0


class Store:
    """The store of one host. One process writes it, from one thread; others read it, each from any thread.

    Everything it returns includes what could not be written yet.
    """

    __slots__ = (
        "_errors",
        "_failures",
        "_folded_at_s",
        "_guard",
        "_ids",
        "_lock",
        "_monotonic",
        "_pruned_at_s",
        "_reader",
        "_retry_at_s",
        "_series",
        "_unsaved",
        "_writer",
        "behind_since",
        "error",
        "notes",
        "path",
    )

    def __init__(self, path: Path, lock: Lock | None, monotonic: Callable[[], float]) -> None:
        self.path = path
        self.behind_since: datetime | None = None  # since when nothing could be written
        self.error = ""  # why
        self.notes: list[str] = []  # see take_notes
        self._lock = lock
        self._monotonic = monotonic
        self._guard = threading.RLock()  # of the reader, and of what was not written yet
        self._unsaved: Unsaved | None = None
        self._errors = self._failures = 0
        self._retry_at_s = 0.0
        self._folded_at_s = self._pruned_at_s = float("-inf")
        self._connect()

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, monotonic: Callable[[], float] = time.monotonic) -> Store:
        """Return the store in a file, which is made if it is missing; a damaged one is moved aside.

        `read_only`: beside the process that writes it.

        Raises Why502Error if it is in use, missing (`read_only`), newer than this version, or cannot be opened.
        """
        path = Path(path)
        if read_only:
            file.check_readable(path)
            with file.explained(path):
                return cls(path, None, monotonic)
        lock = Lock(path)
        try:
            with file.explained(path):
                return _opened(cls, path, lock, monotonic)
        except BaseException:
            lock.release()
            raise

    def _connect(self) -> None:
        self._ids: writing.SeriesIds = {}
        growing: dict[tuple[Counted, Key], float] = {}
        self._writer = file.opened(self.path) if self._lock else None
        try:
            self._reader = file.readable(self.path)
            for counted, key, number, grew_at_s in reading.series(self._reader) if self._lock else ():
                self._ids[counted, key] = number
                growing[counted, key] = grew_at_s
        except BaseException:
            if self._writer:
                self._writer.close()
            raise
        newest = max(growing.values(), default=0.0)
        self._series = Series({one: grew_at_s for one, grew_at_s in growing.items() if grew_at_s > newest - QUIET_S})

    def close(self) -> None:
        """Close the store; what could not be written is lost. Another process may then write it."""
        with self._guard:
            self._reader.close()
            if self._writer:
                self._writer.close()
            if self._lock:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction, with everything that could not be written before.

        While the disk is full, or another process holds the store, it is kept in memory (`behind_since`). Raises only for our
        own bugs.
        """
        assert self._writer is not None, "the store was opened to be read"
        with self._guard:
            if self._unsaved is None:
                self._unsaved = Unsaved(batch.at)
            self._unsaved.add(batch, self._series)
        if self._failures and self._monotonic() < self._retry_at_s:
            self._bound_memory(self._unsaved)
            return
        try:
            self._write(self._writer, self._unsaved)
        except sqlite3.Error as error:
            self._fail(error, batch.at)
            return
        if self._failures:
            self.notes.append(f"{self.path} can be written again, and now has everything since {clock(self.behind_since)}")
            self._failures = 0
            self.behind_since, self.error = None, ""
            self._writer.execute(f"PRAGMA busy_timeout = {round(file.PATIENCE_S * 1000)}")
        self._prune(self._writer, batch.at)

    def _write(self, database: sqlite3.Connection, unsaved: Unsaved) -> None:
        with _transaction(database):
            new = writing.write(database, unsaved, self._ids)
            writing.add_meta(database, "errors", self._errors)
            with self._guard:
                database.execute("COMMIT")
                self._unsaved = None
                self._errors = 0
        self._ids |= new

    def _fail(self, error: sqlite3.Error, at: datetime) -> None:
        """Keep everything in memory, or go on with a new store where the file is damaged."""
        assert self._writer is not None
        if file.is_damaged(error):
            self._replace(error, at)
        elif not file.is_unable(error):
            raise error
        self._errors += 1
        self._failures += 1
        self.error = str(error)
        if self.behind_since is None:
            self.behind_since = at
            self.notes.append(f"{self.path} cannot be written ({error}): counting and alerting continue in memory")
        self._retry_at_s = self._monotonic() + _RETRY_S[min(self._failures, len(_RETRY_S)) - 1]
        self._writer.execute("PRAGMA busy_timeout = 100")
        if file.is_full(error):
            self._pruned_at_s = float("-inf")
            self._prune(self._writer, at)

    def _replace(self, error: sqlite3.Error, at: datetime) -> None:
        """Move the damaged store aside, and go on with a new one; what was not written yet is written at the next commit."""
        assert self._writer is not None
        with self._guard:
            self._writer.close()
            self._reader.close()
            note = damage.replace(self.path, error, at.timestamp())
            self._connect()
            self.notes.append(note)

    def take_notes(self) -> list[str]:
        """Return what an operator should know of the store and was not returned before."""
        taken, self.notes = self.notes, []
        return taken

    def _bound_memory(self, unsaved: Unsaved) -> None:
        if sum(map(len, unsaved.counts.values())) + len(unsaved.durations) > _MANY_COUNTS:
            with self._guard:
                unsaved.compact()

    def _prune(self, database: sqlite3.Connection, at: datetime) -> None:
        """Delete what is no longer kept, once a minute."""
        at_s = at.timestamp()
        if abs(at_s - self._pruned_at_s) < _PRUNE_S:
            return
        self._pruned_at_s = at_s
        try:
            with _transaction(database):
                retention.prune(database, at_s)
                is_due = abs(at_s - self._folded_at_s) >= _FOLD_S
                folded = retention.fold_idle(database, at_s) if is_due else set()
                database.execute("COMMIT")
            retention.shrink(database)
        except sqlite3.Error as error:
            if not file.is_unable(error) and not file.is_damaged(error):
                raise
            self._errors += 1
            return
        if is_due:
            self._folded_at_s = at_s
            self._ids = {series: number for series, number in self._ids.items() if series not in folded}
            self._series.forget(folded)

    @contextmanager
    def _reading(self) -> Iterator[tuple[sqlite3.Connection, Unsaved | None]]:
        """Give the connection to read with, and what it does not show yet. Raises Why502Error."""
        with self._guard:
            try:
                yield self._reader, self._unsaved
            except sqlite3.Error as error:
                raise file.unreadable(self.path, error) from error

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Return how far each log was read."""
        with self._reading() as (database, unsaved):
            found = reading.checkpoints(database)
            if unsaved:
                found |= {log: part.checkpoint for log, part in unsaved.logs.items() if part.checkpoint}
            return found

    def totals(self, now: datetime | None = None) -> Totals:
        """Return everything counted since the store was made.

        With `now`, without the series that ended: the configuration does not name them, and they have not grown for an hour.
        """
        with self._reading() as (database, unsaved):
            found = reading.totals(database)
            found.store_errors += self._errors
            if unsaved:
                unsaved.add_to(found)
            if now is not None:
                found.without_ended(now.timestamp())
            return found

    def counts(self, counted: Counted, since: int, until: int, ring: Ring = Ring.MINUTE) -> dict[tuple[int, Key], int]:
        """Return counts by the first minute of each interval, and key.

        From the interval that `since` is in to before `until`; both in minutes since the epoch. Minutes are kept for 48 hours,
        hours for 35 days, days for 400 days.
        """
        with self._reading() as (database, unsaved):
            found = reading.counts(database, counted, since, until, ring)
            for start, key, count in unsaved.counted(counted, since, until, ring) if unsaved else ():
                found[start, key] = found.get((start, key), 0) + count
            return found

    def sums(self, counted: Counted, part: Part, since: int, until: int, ring: Ring = Ring.MINUTE) -> dict[tuple[int, str], int]:
        """Return counts as `counts` does, summed by one part of their keys: by symptom, or by target."""
        with self._reading() as (database, unsaved):
            found = reading.sums(database, counted, part, since, until, ring)
            for start, key, count in unsaved.counted(counted, since, until, ring) if unsaved else ():
                name = part_of(key, part)
                found[start, name] = found.get((start, name), 0) + count
            return found

    def durations(self, since: int, until: int, ring: Ring = Ring.MINUTE) -> dict[tuple[int, TargetKey], Counter[int]]:
        """Return response times as `counts` does, in buckets of `why502.logs.scan.histogram`."""
        with self._reading() as (database, unsaved):
            found = reading.histograms(database, since, until, ring)
            for (minute, key), buckets in unsaved.durations.items() if unsaved else ():
                start = ring.start(minute)
                if ring.start(since) <= start < until:
                    found.setdefault((start, key), Counter()).update(buckets)
            return found

    def incidents(
        self,
        *,
        is_open: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cause: str = "",
        target: str = "",
        text: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> list[Incident]:
        """Return the incidents that meet all conditions, the newest first.

        `since`: it had not ended before. `until`: it began before. `target`: a part of its name. `text`: words, each of
        which is in the incident's id, host, proxy, symptom, cause, targets, locations, finding or closing.
        """
        with self._reading() as (database, unsaved):
            wanted = reading.Wanted(is_open=is_open, since=since, until=until, cause=cause, target=target, text=text)
            if not unsaved or not unsaved.incidents:
                return reading.incidents(database, wanted, limit, offset)
            kept = reading.incidents(database, wanted, limit + offset + len(unsaved.incidents), 0)
            found = [one for one in kept if one.id not in unsaved.incidents]
            found += [one for one in unsaved.incidents.values() if wanted.meets(one)]
            found.sort(key=lambda one: (-one.opened_at.timestamp(), one.id))
            return found[offset : offset + limit]

    def incident(self, id_: str) -> Incident:
        """Return the incident with an id, or with a unique prefix of it. Raises Why502Error if there is none, or several."""
        with self._reading() as (database, unsaved):
            new = unsaved.incidents if unsaved else {}
            ids = (
                dict.fromkeys((*reading.incident_ids(database, id_), *(one for one in new if one.startswith(id_)))) if id_ else {}
            )
            if id_ in ids:
                ids = {id_: None}
            if not ids:
                raise Why502Error(f"no incident {id_!r}", "`why502 incidents list` shows all of them.")
            if len(ids) > 1:
                raise Why502Error(
                    f"several incidents begin with {id_!r}: {', '.join(sorted(ids)[:3])}", "Give more characters of the id."
                )
            (only,) = ids
            found = new.get(only) or reading.incident(database, only)
            assert found is not None
            return found

    def bundle(self, id_: str) -> bytes | None:
        """Return the bundle of an incident's first seconds; None if none was kept."""
        with self._reading() as (database, unsaved):
            return (unsaved.bundles.get(id_) if unsaved else None) or reading.bundle(database, id_)

    def members(self) -> list[Member]:
        """Return all members."""
        with self._reading() as (database, unsaved):
            found = {(one.proxy, one.group, str(one.peer)): one for one in reading.members(database)}
            return list((found | (unsaved.members if unsaved else {})).values())

    def changes(self, since: datetime | None = None, until: datetime | None = None) -> list[Change]:
        """Return the changes of a time, oldest first."""
        with self._reading() as (database, unsaved):
            found = reading.changes(database, since, until)
            found += [
                one
                for one in (unsaved.changes if unsaved else ())
                if (since is None or one.at >= since) and (until is None or one.at < until)
            ]
            return sorted(found, key=lambda one: one.at)

    def seen(self) -> Seen | None:
        """Return what changes are told by, as the last run kept it; None if none did."""
        with self._reading() as (database, unsaved):
            return (unsaved.seen if unsaved else None) or reading.seen(database)

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Return the answer to a question of `why502.watch.store.history`: of what is written, not of what waits for the disk."""
        with self._reading() as (database, _):
            return question(database)

    def limit_history(self, since: datetime) -> list[Limit]:
        """Return the samples of all limits since a time, one in five minutes, oldest first."""
        with self._reading() as (database, _):
            return list(reading.limit_history(database, since))

    def limits(self) -> list[Limit]:
        """Return the latest state of each limit."""
        with self._reading() as (database, unsaved):
            found = {(one.kind, one.subject): one for one in reading.limits(database)}
            return list((found | {(one.kind, one.subject): one for one in (unsaved.limits.values() if unsaved else ())}).values())

    def pending(self, receiver: str, now: datetime) -> list[Message]:
        """Return the messages to send to a receiver now, oldest first."""
        with self._reading() as (database, unsaved):
            found = {one.key: one for one in reading.messages(database, receiver)}
            found |= {key: one for (to, key), one in unsaved.messages.items() if to == receiver} if unsaved else {}
            return [one for one in found.values() if one.sent_at is None and (one.next_try_at is None or one.next_try_at <= now)]

    def sent(self, receiver: str, incident: str) -> list[Message]:
        """Return the messages about an incident that a receiver got, oldest first."""
        with self._reading() as (database, unsaved):
            found = {one.key: one for one in reading.sent(database, receiver, incident)}
            if unsaved:
                found |= {
                    key: one
                    for (to, key), one in unsaved.messages.items()
                    if to == receiver and one.incident.id == incident and one.sent_at is not None
                }
            return list(found.values())


def _opened(kind: type[Store], path: Path, lock: Lock, monotonic: Callable[[], float]) -> Store:
    """Return the store, or a new one in place of a damaged one. Raises Why502Error, sqlite3.Error, OSError."""
    try:
        return kind(path, lock, monotonic)
    except sqlite3.Error as error:
        # Without a lock beside it, it is not known to be ours, and is nothing to rename.
        if not file.is_damaged(error) or lock.is_new:
            raise
        note = damage.replace(path, error, time.time())
    store = kind(path, lock, monotonic)
    store.notes.append(note)
    return store


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Begin a transaction, and revert it unless it was committed."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
