"""Who reads the parts: this process, or several. In whatever order it is done, the sum is the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.part import Ask, Crowded, Part, Session
from why502.logs.scan.source import STANDARD_INPUT
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.logs.scan.run import Job

SMALL_BYTES = 24 << 20  # so much is read before other processes would be running
_POLL_S = 0.1


class Read(NamedTuple):
    """What is told of a part: its lines, those that nobody could read, why its end is missing."""

    number: int  # of the part
    lines: int
    unfit: int
    why: str


class Result(NamedTuple):
    """The counts of some parts. `is_ordered`: results come part by part, in order."""

    parts: list[Read]
    counts: Counts
    is_ordered: bool = False


Engine = Callable[[Sequence[Part], "Job", int], Iterator[Result]]


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alone(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:  # noqa: ARG001 - engines are called alike
    """Read part by part in this process."""

    def told(size: int) -> None:
        job.told(size)
        if job.is_over:
            raise KeyboardInterrupt

    for part in parts:
        if job.is_over:
            return
        yield one(part, job.ask, told)


def one(part: Part, ask: Ask, told: Callable[[int], None]) -> Result:
    """Read one part by itself."""
    session = Session(ask, is_ordered=True)
    read = Read(part.index, *session.read(part, told))
    return Result([read], session.total(), is_ordered=True)


def processes(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:
    """Read in several processes, where that is worth it; each sums up all the parts that it reads. Raises Crowded, Why502Error."""
    total = sum((part.end or job.total_bytes) - part.start for part in parts)
    if jobs < 2 or len(parts) < 2 or total < SMALL_BYTES or any(part.path == STANDARD_INPUT for part in parts):
        return alone(parts, job, jobs)
    context = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
    next_, done, stop = context.Value("Q", 0), context.Value("Q", 0), context.Event()
    workers = []
    for _ in range(min(jobs, len(parts))):
        mine, its = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(parts, job.ask, next_, done, stop, its), daemon=True)
        worker.start()
        its.close()
        workers.append((worker, mine))
    return _results(workers, job, done, stop)


def _results(
    workers: Sequence[tuple[multiprocessing.process.BaseProcess, Connection]], job: Job, done: Synchronized[int], stop: Event
) -> Iterator[Result]:
    waiting = {pipe for _, pipe in workers}
    seen = 0
    try:
        while waiting:
            for pipe in wait(list(waiting), _POLL_S):
                assert isinstance(pipe, Connection)
                try:
                    found = pipe.recv()
                except EOFError as error:
                    raise Why502Error("a process that read logs was killed", "Give it more memory, or use --jobs 1.") from error
                waiting.discard(pipe)
                if found is None:
                    raise Crowded
                yield found
            now = done.value
            job.told(now - seen)
            seen = now
            if job.is_over:
                stop.set()
    finally:
        for worker, pipe in workers:
            if pipe in waiting:
                worker.terminate()
            worker.join()
            pipe.close()


def _work(
    parts: Sequence[Part], ask: Ask, next_: Synchronized[int], done: Synchronized[int], stop: Event, pipe: Connection
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def told(size: int) -> None:
        with done.get_lock():
            done.value += size
        if stop.is_set():
            raise KeyboardInterrupt

    session = Session(ask)
    read = []
    try:
        while not session.counts.is_partial:
            with next_.get_lock():
                at, next_.value = next_.value, next_.value + 1
            if at >= len(parts):
                break
            if stop.is_set():
                session.counts.is_partial = True
                break
            read.append(Read(at, *session.read(parts[at], told)))
        pipe.send(Result(read, session.total()))
    except Crowded:
        pipe.send(None)
