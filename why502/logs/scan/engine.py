"""Who reads the parts: this process, or several; the results come in the order of the parts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.part import Ask, Part, scan
from why502.logs.scan.source import STANDARD_INPUT
from why502.model.errors import HostError

if TYPE_CHECKING:
    from why502.logs.scan.run import Job

SMALL_BYTES = 24 << 20  # so much is read before other processes would be running
STOP_S = 5.0
Told = Callable[[int], None]  # is called with the number of bytes read since the last call


class Result(NamedTuple):
    """What became of one part."""

    part: Part
    counts: Counts
    why: str = ""


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(parts: Sequence[Part], ask: Ask, told: Told, *, jobs: int, is_over: Callable[[], bool]) -> Iterator[Result]:
    """Read the parts in so many processes. When `is_over` turns true, those being read end where they are."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    done: Synchronized[int] = context.Value("Q", 0)
    stop = context.Event()
    seen = 0
    pool = context.Pool(min(jobs, len(parts)), _begin, (done, stop))
    try:
        waiting = pool.imap(_work, [(part, ask) for part in parts])
        for part in parts:
            while True:
                try:
                    counts, why = waiting.next(0.1)
                    break
                except multiprocessing.TimeoutError:
                    if is_over():
                        stop.set()
                finally:
                    now = done.value
                    told(now - seen)
                    seen = now
            yield Result(part, counts, why)
    finally:
        pool.terminate()
        pool.join()


def one(part: Part, ask: Ask, told: Told) -> Result:
    """Read one part; what cannot be read is said, not raised."""
    try:
        return Result(part, scan(part, ask, told))
    except HostError as error:
        return Result(part, Counts(is_exact=ask.is_exact), error.why)


_done: Synchronized[int]
_stop: Event


def _begin(done: Synchronized[int], stop: Event) -> None:
    global _done, _stop
    _done, _stop = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(job: tuple[Part, Ask]) -> tuple[Counts, str]:
    if _stop.is_set():
        return _empty(job[1]), ""
    _, counts, why = one(*job, _tell)
    return counts, why


def _empty(ask: Ask) -> Counts:
    counts = Counts(is_exact=ask.is_exact)
    counts.is_partial = True
    return counts


def _tell(size: int) -> None:
    with _done.get_lock():
        _done.value += size
    if _stop.is_set():
        raise KeyboardInterrupt


def alone_with(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:  # noqa: ARG001 - engines are called alike
    """Read in this process."""

    def told(size: int) -> None:
        job.told(size)
        if job.is_over:
            raise KeyboardInterrupt

    for part in parts:
        if job.is_over:
            return
        yield one(part, job.ask, told)


def processes_with(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:
    """Read in several processes, where that is worth it."""
    total = sum((part.end or job.total_bytes) - part.start for part in parts)
    if jobs < 2 or len(parts) < 2 or total < SMALL_BYTES or any(part.path == STANDARD_INPUT for part in parts):
        return alone_with(parts, job, jobs)
    return processes(parts, job.ask, job.told, jobs=jobs, is_over=lambda: job.is_over)
