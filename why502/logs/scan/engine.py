"""Reads the parts in this process or in several. The result does not depend on the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from why502.logs.scan.part import Session
from why502.logs.scan.readers import CAN_FORK, SMALL_BYTES, Readers
from why502.logs.scan.source import STANDARD_INPUT
from why502.logs.scan.work import Ask, Crowded, Part, Read, Result

if TYPE_CHECKING:
    from why502.logs.scan.job import Job


Engine = Callable[[Sequence[Part], "Job", int], Iterator[Result]]


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


def processes(parts: Sequence[Part], job: Job, jobs: int, readers: Readers | None = None) -> Iterator[Result]:
    """Read in several processes, where that is worth it; they sum up. Raises Crowded, Why502Error."""
    total = sum((part.end or job.total_bytes) - part.start for part in parts)
    is_small = total < SMALL_BYTES or jobs < 2 or len(parts) < 2 or not CAN_FORK
    if any(part.path == STANDARD_INPUT for part in parts) or not parts or (is_small and readers is None):
        return alone(parts, job, jobs)
    several = readers or Readers(jobs, is_fast=job.ask.is_fast)
    several.start(parts, job.ask)
    return _results(several, job, is_ours=readers is None)


def _results(readers: Readers, job: Job, *, is_ours: bool) -> Iterator[Result]:
    def told(size: int) -> bool:
        job.told(size)
        return job.is_over

    try:
        found = readers.result(told)
    finally:
        if is_ours:
            readers.close()
    if found is None:
        raise Crowded
    yield Result(*found)
