"""Reads the parts in one thread or in several. The result does not depend on the order."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from why502.logs.scan.counts import MOST_KEYS
from why502.logs.scan.part import Layouts, Session
from why502.logs.scan.source import STANDARD_INPUT
from why502.logs.scan.work import Part, Read, Result, ScanQuery

if TYPE_CHECKING:
    from why502.logs.scan.job import Job


Engine = Callable[[Sequence[Part], "Job", int], Iterator[Result]]
_SWITCH_S = 0.0005  # time after which a Python thread yields to another, which passes the next block to the compiled reader
ROWS = 2000  # for routes, clients and servers: twice the number in a report


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alone(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:  # noqa: ARG001 - engines are called alike
    """Read the parts one by one in this thread."""
    yield from threads(parts, job, 1)


def one(part: Part, query: ScanQuery, on_read: Callable[[int], None]) -> Result:
    """Read a single part."""
    session = Session(query)
    read = Read(part.index, *session.read(part, on_read))
    return Result([read], session.total(MOST_KEYS))


def threads(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:
    """Start reading in several threads: the compiled reader runs in all of them at once, Python in one at a time."""
    if any(part.path == STANDARD_INPUT for part in parts):
        jobs = 1
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    work = _Work(parts, job)
    readers = [
        threading.Thread(target=work.read, name=f"reader {number}", daemon=True) for number in range(min(jobs, len(parts)))
    ]
    for reader in readers:
        reader.start()
    return _joined(readers, work, before)


def _joined(readers: Sequence[threading.Thread], work: _Work, before_s: float) -> Iterator[Result]:
    try:
        for reader in readers:
            reader.join()
    finally:
        sys.setswitchinterval(before_s)
    yield work.result()


class _Work:
    """The parts not yet started, and the results of the readers."""

    def __init__(self, parts: Sequence[Part], job: Job) -> None:
        self._parts = iter(parts)
        self._job = job
        self._lock = threading.Lock()
        self._layouts = Layouts()
        self._sessions: list[Session] = []
        self._reads: list[Read] = []
        self._error: BaseException | None = None

    def read(self) -> None:
        """Read parts until there are none left."""
        session = Session(self._job.query, layouts=self._layouts)
        with self._lock:
            self._sessions.append(session)
        try:
            while (part := self._next()) is not None:
                found = Read(part.index, *session.read(part, self._count_read))
                with self._lock:
                    self._reads.append(found)
        except BaseException as error:
            self._error = error

    def result(self) -> Result:
        """Return the sum of all results. Raises the exception that a reader raised."""
        if self._error is not None:
            raise self._error
        first, *others = self._sessions or [Session(self._job.query)]
        for other in others:
            first.absorb(other)
        return Result(self._reads, first.total(ROWS))

    def _next(self) -> Part | None:
        with self._lock:
            return None if self._job.is_over or self._error is not None else next(self._parts, None)

    def _count_read(self, size: int) -> None:
        with self._lock:
            self._job.on_read(size)
        if self._job.is_over or self._error is not None:
            raise KeyboardInterrupt
