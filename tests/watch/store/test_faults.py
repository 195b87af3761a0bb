"""The store on a machine with faults: a full disk, a damaged file, a backup that holds it, a newer version."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from observing import FAILURE, LOG, MINUTE, NOW, REQUEST, incident, observed

from why502.model.errors import Why502Error
from why502.watch.model import Batch, FailureKey, Message, Observed, Transition
from why502.watch.store import Counted, Store, file, schema


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def write_until_full(path: Path) -> None:
    """Fill a file system to its last byte."""
    with path.open("wb", buffering=0) as filler:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while filler.write(b"x" * size):
                    pass
            except OSError:
                continue


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PATIENCE_S", 0.05)


def a_backup(path: Path) -> sqlite3.Connection:
    """Hold the right to write, as a backup does that wants a quiet file."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def close(store: Store, path: Path) -> None:
    """Close it and see that the file is sound."""
    store.close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


@pytest.mark.real
def test_a_full_disk_costs_nothing_but_the_history_in_other_processes(small_disk: Path) -> None:
    """W25: counting goes on for more than an hour, and all of it is written in one transaction when there is space."""
    path, clock = small_disk / "watch.db", Clock()
    store = Store.open(path, monotonic=clock)
    store.commit(Batch(at=NOW, observed=[observed()]))
    write_until_full(small_disk / "filler")
    seconds = 4000
    for second in range(1, seconds + 1):
        clock.now_s = second
        at = NOW + timedelta(seconds=second)
        seen = observed(minute=MINUTE + second // 60, offset=100 + second)
        seen.failures = Counter({(MINUTE + second // 60, FailureKey("nginx", f"shop.example/{second % 30}", "", "refused")): 1})
        store.commit(Batch(at=at, observed=[seen], incidents=[incident(failures=second)]))
    assert store.behind_since is not None and store.behind_since <= NOW + timedelta(seconds=60)
    assert store.error == "database or disk is full"
    message = Message(key="i1.1", receiver="mail", transition=Transition.OPENED, incident=incident(), made_at=NOW)
    store.commit(Batch(at=NOW + timedelta(seconds=seconds), messages=[message]))
    assert store.pending("mail", NOW) == [message]
    before = store.totals()
    assert before.requests[REQUEST] == seconds + 1
    assert sum(before.failures.values()) == seconds + 1
    assert before.store_errors > 0
    assert store.incident("i1").failures == seconds
    assert store.checkpoints()[LOG].files[0].offset == 100 + seconds
    (small_disk / "filler").unlink()
    clock.now_s += 60
    store.commit(Batch(at=NOW + timedelta(seconds=seconds)))
    assert store.behind_since is None and store.error == ""
    assert store.totals() == before
    store.close()
    store = Store.open(path)
    assert store.totals() == before
    close(store, path)


@pytest.mark.thorough
@pytest.mark.usefixtures("impatient")
def test_memory_stays_bounded_while_nothing_can_be_written(path: Path) -> None:
    clock = Clock()
    store = Store.open(path, monotonic=clock)
    store.commit(Batch(at=NOW))
    backup = a_backup(path)
    keys = [FailureKey("nginx", f"shop.example/{number}", "", "refused") for number in range(500)]
    total = 0
    for minute in range(60 * 12):
        seen = Observed(log=LOG, proxy="nginx", failures=Counter({(MINUTE + minute, key): 1 for key in keys}))
        total += len(keys)
        store.commit(Batch(at=NOW + timedelta(minutes=minute), observed=[seen]))
    assert sum(store.totals().failures.values()) == total
    assert len(store.counts(Counted.FAILURES, MINUTE, MINUTE + 60 * 12)) < 120_000
    backup.execute("ROLLBACK")
    backup.close()
    clock.now_s += 60
    store.commit(Batch(at=NOW + timedelta(hours=12)))
    assert store.behind_since is None
    assert sum(store.totals().failures.values()) == total
    close(store, path)


@pytest.mark.usefixtures("impatient")
def test_a_backup_that_holds_the_store_is_waited_for_and_then_counted_from_memory(path: Path) -> None:
    clock = Clock()
    store = Store.open(path, monotonic=clock)
    store.commit(Batch(at=NOW, observed=[observed()]))
    backup = a_backup(path)
    store.commit(Batch(at=NOW, observed=[observed(offset=200)]))
    assert store.behind_since == NOW
    assert store.error == "database is locked"
    assert store.take_notes() == [f"{path} cannot be written (database is locked): counting and alerting continue in memory"]
    assert store.totals().failures == {FAILURE: 2}
    backup.execute("ROLLBACK")
    backup.close()
    clock.now_s += 60
    store.commit(Batch(at=NOW, observed=[observed(offset=300)]))
    assert store.behind_since is None
    assert store.take_notes() == [f"{path} can be written again, and now has everything since 2026-11-21 01:00:07Z"]
    assert store.take_notes() == []
    assert store.totals().failures == {FAILURE: 3}
    close(store, path)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_locked_when_it_is_opened_is_unavailable(path: Path) -> None:
    Store.open(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(file.Unavailable, match="locked by another process") as error:
        Store.open(path)
    assert error.value.hint
    other.close()
    Store.open(path).close()


def damage_the_counts(path: Path) -> None:
    """Overwrite the pages of the history of counts, and no others."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size, root = database.execute(
            "SELECT page_size, rootpage FROM pragma_page_size, sqlite_schema WHERE name = 'counts'"
        ).fetchone()
    database.close()
    with path.open("r+b") as raw:
        raw.seek((root - 1) * size)
        raw.write(b"\xa5" * size)


def asides(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.glob("watch.db.damaged-*") if found.name.endswith("Z"))


def test_a_store_damaged_at_run_time_is_moved_aside_and_what_can_be_read_is_kept(path: Path) -> None:
    store = Store.open(path)
    store.commit(Batch(at=NOW, observed=[observed()], incidents=[incident()]))
    before = store.totals()
    store.close()
    damage_the_counts(path)
    store = Store.open(path)
    clock_s = NOW + timedelta(seconds=1)
    store.commit(Batch(at=clock_s, observed=[observed(offset=200)]))
    assert len(asides(path)) == 1
    assert [note for note in store.notes if asides(path)[0].name in note]
    store._monotonic = lambda: float("inf")
    store.commit(Batch(at=clock_s))
    assert store.totals().failures == {FAILURE: before.failures[FAILURE] + 1}
    assert store.checkpoints()[LOG].files[0].offset == 200
    assert store.incident("i1") == incident()
    close(store, path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 8000, b"hello world, this is no store at all" * 99]
)
def test_a_damaged_store_is_no_crash_loop(path: Path, content: bytes) -> None:
    Store.open(path).close()
    path.write_bytes(content)
    store = Store.open(path)
    assert bool(store.notes) == bool(content)
    assert len(asides(path)) == bool(content)
    store.commit(Batch(at=NOW, observed=[observed()]))
    assert store.totals().failures == {FAILURE: 1}
    close(store, path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_store_goes_on(path: Path, part: float) -> None:
    store = Store.open(path)
    for number in range(300):
        store.commit(Batch(at=NOW, observed=[observed(log=f"/var/log/nginx/{number}.log")], incidents=[incident(f"i{number}")]))
    store.close()
    os.truncate(path, int(path.stat().st_size * part) // 4096 * 4096)
    clock = Clock()
    store = Store.open(path, monotonic=clock)
    for number in range(300):
        clock.now_s += 60
        store.commit(Batch(at=NOW, observed=[observed(log=f"/var/log/nginx/{number}.log")], incidents=[incident(f"i{number}")]))
    assert store.behind_since is None
    assert len(asides(path)) == 1 and store.notes
    assert len(store.incidents(limit=1000)) == 300
    close(store, path)


def test_only_the_newest_two_damaged_stores_are_kept(path: Path) -> None:
    for _ in range(4):
        Store.open(path).close()
        path.write_bytes(b"\0" * 100)
    Store.open(path).close()
    assert len(asides(path)) == 2


def test_a_file_that_was_never_a_store_is_left_alone(path: Path) -> None:
    path.write_text("precious\n" * 1000)
    with pytest.raises(Why502Error, match="is not a store of why502"):
        Store.open(path)
    assert path.read_text() == "precious\n" * 1000


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (a)")
    other.close()
    for read_only in (False, True):
        with pytest.raises(Why502Error, match="the database of another program"):
            Store.open(path, read_only=read_only)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("precious",)]
    other.close()


def test_a_newer_store_is_refused(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 6}")
    other.close()
    for read_only in (False, True):
        with pytest.raises(Why502Error, match=r"was written by a newer why502 \(version 7") as error:
            Store.open(path, read_only=read_only)
        assert error.value.hint
    assert not asides(path)


def test_an_older_store_is_brought_forward_in_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(path)
    store.commit(Batch(at=NOW, observed=[observed()]))
    before = store.totals()
    store.close()
    older = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*older, "CREATE TABLE more (a) STRICT; INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(Why502Error):
        Store.open(path)
    monkeypatch.setattr(schema, "MIGRATIONS", older)
    store = Store.open(path)
    assert store.totals() == before, "a migration that failed left something"
    store.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*older, "CREATE TABLE more (a TEXT) STRICT; INSERT INTO more VALUES ('x')"))
    store = Store.open(path)
    assert store.totals() == before
    store.close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(older) + 1,)
        assert database.execute("SELECT * FROM more").fetchall() == [("x",)]
    database.close()


def test_a_store_that_cannot_be_written_is_refused_with_two_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Why502Error, match="cannot be written") as error:
        Store.open(tmp_path / "file" / "watch.db")
    assert error.value.hint


def test_a_missing_store_is_not_made_by_a_reader(path: Path) -> None:
    with pytest.raises(Why502Error, match="no store at"):
        Store.open(path, read_only=True)
    assert not path.exists()
