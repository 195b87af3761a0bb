"""The store against a plain dictionary: any order of commits, kills, restarts and backups."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from observing import MINUTE, NOW, checkpoint, incident

from why502.watch.model import Batch, FailureKey, Message, Observed, Transition
from why502.watch.store import Counted, Ring, Store, file

KEYS = [
    FailureKey("nginx", f"shop.example/{number}", target, "refused") for number in range(3) for target in ("", "127.0.0.1:3001")
]
LOGS = ("/var/log/nginx/access.log", "/var/log/nginx/error.log")
PARTS = st.tuples(st.sampled_from(LOGS), st.lists(st.tuples(st.integers(0, 200), st.sampled_from(KEYS)), max_size=5))

# Processes die here, not machines: a disk that takes its time to sync would only make it slow.
MEMORY = "/dev/shm"


@dataclass
class Model:
    """What must be in the store."""

    failures: Counter[tuple[int, FailureKey]] = field(default_factory=Counter)
    offsets: dict[str, int] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    incidents: dict[str, int] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    sent: int = 0
    bundles: dict[str, bytes] = field(default_factory=dict)

    def apply(self, batch: Batch) -> None:
        """Do what a commit must do."""
        for seen in batch.observed:
            self.failures += seen.failures
            assert seen.checkpoint
            self.offsets[seen.log] = seen.checkpoint.files[0].offset
            self.lines[seen.log] += seen.lines
        self.incidents |= {one.id: one.failures for one in batch.incidents}
        for message in batch.messages:
            if message.sent_at is not None:
                self.sent += message.key in self.pending
                self.pending.discard(message.key)
            else:
                self.pending.add(message.key)
        self.bundles |= batch.bundles


def seen_in(store: Store) -> dict[str, Any]:
    """Return what a store holds, as the model writes it."""
    totals = store.totals()
    minutes = store.counts(Counted.FAILURES, MINUTE, MINUTE + 1000)
    for ring in (Ring.HOUR, Ring.DAY):
        sums: Counter[tuple[int, Any]] = Counter()
        for (minute, key), count in minutes.items():
            sums[ring.start(minute), key] += count
        assert store.counts(Counted.FAILURES, MINUTE, MINUTE + 1000, ring) == sums
    by_key: Counter[Any] = Counter()
    for (_, key), count in minutes.items():
        by_key[key] += count
    assert totals.failures == by_key
    return {
        "failures": minutes,
        "offsets": {log: found.files[0].offset for log, found in store.checkpoints().items()},
        "lines": {log: found.lines for log, found in totals.logs.items()},
        "incidents": {one.id: one.failures for one in store.incidents()},
        "pending": {message.key for message in store.pending("mail", NOW)},
        "sent": totals.deliveries.get(("mail", "sent"), 0),
        "bundles": {id_: data for id_ in ("i0", "i1", "i2") if (data := store.bundle(id_)) is not None},
    }


def expected(model: Model) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(model).items()}


class StoreMachine(RuleBasedStateMachine):
    """One store, and the model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY))
        self.path = self.directory / "watch.db"
        self.model = Model()
        self.number = 0
        self.clock_s = 0.0
        self.backup: Any = None

    @initialize()
    def open(self) -> None:
        self.store = Store.open(self.path, monotonic=lambda: self.clock_s)

    def batch(self, parts: list[tuple[str, list[tuple[int, FailureKey]]]], which: int) -> Batch:
        """Return a batch of log lines, with an incident, a message and a bundle by the number of the batch."""
        self.number += 1
        batch = Batch(at=NOW + timedelta(seconds=self.number))
        for log, lines in parts:
            counted: Counter[tuple[int, FailureKey]] = Counter((MINUTE + minute, key) for minute, key in lines)
            place = checkpoint(1000 * self.number + len(batch.observed), log)
            batch.observed.append(Observed(log=log, proxy="nginx", checkpoint=place, failures=counted, lines=len(lines)))
        if which % 2:
            batch.incidents = [incident(f"i{which % 3}", failures=self.number)]
            batch.bundles = {f"i{which % 3}": str(self.number).encode()} if which % 4 == 1 else {}
        if which % 5 < 3:
            sent_at = batch.at if which % 5 == 2 else None
            waiting = sorted(self.model.pending)
            key = f"m{self.number}" if sent_at is None else waiting[which % len(waiting)] if waiting else ""
            if key:  # a message that was settled is never made again
                one = incident("i0")
                batch.messages = [
                    Message(
                        key=key,
                        receiver="mail",
                        transition=Transition.OPENED,
                        incident=one,
                        made_at=NOW,
                        sent_at=sent_at,
                        tries=1,
                    )
                ]
        return batch

    @rule(parts=st.lists(PARTS, max_size=3), which=st.integers(0, 419))
    def commit(self, parts: list[tuple[str, list[tuple[int, FailureKey]]]], which: int) -> None:
        batch = self.batch(parts, which)
        self.store.commit(batch)
        self.model.apply(batch)

    @precondition(lambda self: self.backup is None)
    @rule()
    def restart(self) -> None:
        self.write_all()
        self.store.close()
        self.open()

    @precondition(lambda self: self.backup is None)
    @rule(parts=st.lists(PARTS, max_size=3), which=st.integers(0, 419), statement=st.integers(1, 40))
    def kill(self, parts: list[tuple[str, list[tuple[int, FailureKey]]]], which: int, statement: int) -> None:
        """A process that dies somewhere in a commit: afterwards all of it is there, or nothing."""
        self.write_all()
        self.store.close()
        batch = self.batch(parts, which)
        without = copy.deepcopy(self.model)
        self.model.apply(batch)
        if in_a_child(lambda: committed(self.path, batch, statement)):
            self.open()
            found = seen_in(self.store)
            if found != expected(self.model):
                assert found == expected(without)
                self.model = without
        else:
            self.open()

    @precondition(lambda self: self.backup is None)
    @rule()
    def begin_backup(self) -> None:
        self.backup = sqlite3.connect(self.path, isolation_level=None)
        self.backup.execute("BEGIN IMMEDIATE")

    @precondition(lambda self: self.backup is not None)
    @rule()
    def end_backup(self) -> None:
        self.backup.execute("ROLLBACK")
        self.backup.close()
        self.backup = None

    def write_all(self) -> None:
        """Let it write what it kept in memory."""
        self.clock_s += 60
        self.store.commit(Batch(at=NOW + timedelta(seconds=self.number)))
        assert self.store.behind_since is None

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if hasattr(self, "store"):
            found = seen_in(self.store)
            if self.store.behind_since is not None:
                found["sent"] = self.model.sent  # counted when it is written
            assert found == expected(self.model)

    def teardown(self) -> None:
        if self.backup is not None:
            self.end_backup()
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.directory)


def committed(path: Path, batch: Batch, statement: int) -> None:
    """Commit, and die before an SQL statement."""
    store = Store.open(path)
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    assert store._writer is not None
    store._writer.set_trace_callback(count)
    store.commit(batch)


def in_a_child(work: Callable[[], None]) -> bool:
    """Run something in a process of its own. Returns whether that was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def run(monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    monkeypatch.setattr(file, "PATIENCE_S", 0.01)
    options = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(StoreMachine, settings=options)


@pytest.mark.thorough
def test_any_order_of_commits_kills_restarts_and_backups(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, examples=15, steps=20)


@pytest.mark.thorough
def test_many_orders_of_commits_kills_restarts_and_backups(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, examples=30, steps=40)
