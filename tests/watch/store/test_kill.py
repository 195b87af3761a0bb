"""W28, W29: `kill -9` at every step, and a power loss, leave a store in which what was counted fits how far the log was read."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from observing import FAILURE, LOG, MINUTE, NOW, REQUEST, checkpoint, incident

from why502.watch.model import Batch, Message, Observed, Transition
from why502.watch.store import Counted, Ring, Store

# Reads a log of numbered lines from its checkpoint on, three lines at a time, and says after each commit how far it came.
FOLLOWER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_kill import batch, offset
from why502.watch.store import Store
with Store.open(Path(sys.argv[1])) as store:
    for _ in range(int(sys.argv[2])):
        store.commit(batch(offset(store)))
        print(offset(store), flush=True)
"""


def offset(store: Store) -> int:
    found = store.checkpoints().get(LOG)
    return found.files[0].offset if found else 0


def batch(start: int) -> Batch:
    """Return what the next three lines add: a failure each, an incident with their number, a message for every third."""
    lines = range(start, start + 3)
    failures = Counter({(MINUTE + line // 60, FAILURE): 0 for line in lines})
    requests = Counter({(MINUTE + line // 60, REQUEST): 0 for line in lines})
    for line in lines:
        failures[MINUTE + line // 60, FAILURE] += 1
        requests[MINUTE + line // 60, REQUEST] += 1
    at = NOW + timedelta(seconds=start)
    one = incident(failures=start + 3)
    message = Message(key=f"i1.{start}", receiver="mail", transition=Transition.UPDATED, incident=one, made_at=at)
    seen = Observed(log=LOG, proxy="nginx", checkpoint=checkpoint(start + 3), failures=failures, requests=requests, lines=3)
    return Batch(at=at, observed=[seen], incidents=[one], messages=[message])


def check(store: Store) -> int:
    """Return how far the log was read; everything in the store must have come exactly that far."""
    read = offset(store)
    totals = store.totals()
    assert totals.failures.get(FAILURE, 0) == read
    assert totals.requests.get(REQUEST, 0) == read
    assert (totals.logs[LOG].lines if read else 0) == read
    for ring in Ring:
        assert sum(store.counts(Counted.FAILURES, MINUTE, MINUTE + 10_000, ring).values()) == read
    assert [one.failures for one in store.incidents()] == ([read] if read else [])
    assert {message.key for message in store.pending("mail", NOW)} == {f"i1.{start}" for start in range(0, read, 3)}
    return read


def killed_at(path: Path, statement: int) -> bool:
    """Run two commits in a process that kills itself before its SQL statement of that number. Returns whether it came so far."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            store = Store.open(path)
            assert store._writer is not None
            store._writer.set_trace_callback(count)
            store.commit(batch(offset(store)))
            store.commit(batch(offset(store)))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.thorough
def test_a_kill_before_each_statement_of_a_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    statement = before = 0
    was_killed = True
    while was_killed:
        statement += 1
        was_killed = killed_at(path, statement)
        with Store.open(path) as store:
            read = check(store)
        assert before <= read <= before + 6
        before = read
    assert statement > 40


@pytest.mark.real
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "ftruncate", "unlink"])
def test_a_kill_at_each_call_to_the_kernel_loses_and_doubles_nothing(tmp_path: Path, call: str) -> None:
    """As above, within the commit and within the checkpoint of the write-ahead log, which the small log makes frequent."""
    path = tmp_path / "watch.db"
    Store.open(path).close()
    choose = random.Random(502)
    for when in (1, 2, *sorted(choose.sample(range(3, 60), 5))):
        before = confirmed = read_now(path)
        inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
        done = subprocess.run([*inject, sys.executable, "-c", FOLLOWER, path, "8"], capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        confirmed = max((int(word) for word in done.stdout.split()), default=before)
        assert confirmed <= read_now(path) <= before + 24


def read_now(path: Path) -> int:
    with Store.open(path) as store:
        return check(store)


@pytest.mark.real
@pytest.mark.parametrize("error", ["EDQUOT", "EROFS", "ENOSPC", "EIO"])
def test_an_error_of_the_disk_is_waited_for(tmp_path: Path, error: str) -> None:
    """W25: whatever the kernel says, nothing is lost, and the process goes on."""
    path = tmp_path / "watch.db"
    Store.open(path).close()
    inject = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pwrite64",
        "-e",
        f"inject=pwrite64:error={error}:when=20..40",
    ]
    waiting = FOLLOWER.replace(
        "Store.open(Path(sys.argv[1]))", "Store.open(Path(sys.argv[1]), monotonic=iter(range(0, 10**9, 60)).__next__)"
    )
    done = subprocess.run([*inject, sys.executable, "-c", waiting, path, "30"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_now(path) == 90
    with Store.open(path) as store:
        assert store.totals().store_errors > 0


def test_a_power_loss_leaves_an_earlier_state_that_fits(tmp_path: Path) -> None:
    """With synchronous=NORMAL the end of the write-ahead log may be missing; it is cut at many places here."""
    path = tmp_path / "watch.db"
    with Store.open(path) as store:
        for _ in range(12):
            store.commit(batch(offset(store)))
        for name in ("watch.db", "watch.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / f"kept-{name}")
    size = (tmp_path / "kept-watch.db-wal").stat().st_size
    found = set()
    for cut in random.Random(502).sample(range(size), 40):
        for name in ("watch.db", "watch.db-wal"):
            shutil.copy(tmp_path / f"kept-{name}", tmp_path / name)
        os.truncate(tmp_path / "watch.db-wal", cut)
        found.add(read_now(path))
    assert len(found) > 5
    assert found <= set(range(0, 37, 3))


@pytest.mark.thorough
def test_the_file_is_sound_after_all_that(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    for statement in range(10, 40, 7):
        killed_at(path, statement)
    Store.open(path).close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
