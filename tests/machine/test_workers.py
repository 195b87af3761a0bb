"""Which processes of a server act as its workers."""

from __future__ import annotations

import pytest

from why502.machine.process_table import settled_first
from why502.model.process import Process

MASTER = Process(pid=10, uid=0, user="root")


@pytest.mark.parametrize(
    ("uids", "expected"),
    [([0, 33, 34], [33, 34, 0]), ([33], [33]), ([0, 0], [0, 0]), ([0, None], [None, 0]), ([], [])],
    ids=["one-just-forked", "settled", "all-are-roots", "unreadable", "none"],
)
def test_a_worker_that_was_just_forked_comes_last(uids: list[int | None], expected: list[int | None]) -> None:
    workers = [Process(pid=11 + number, ppid=10, uid=uid) for number, uid in enumerate(uids)]
    assert [worker.uid for worker in settled_first(MASTER, workers)] == expected
