"""Runs the scan in tests and returns what can be compared."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from why502.logs.scan import engine
from why502.logs.scan.cause_rows import Meaning
from why502.logs.scan.counts import Counts
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import Form
from why502.logs.scan.part import Session
from why502.logs.scan.report import Report
from why502.logs.scan.run import run
from why502.logs.scan.work import Part, ScanQuery


def plain(counts: Counts) -> dict[str, Any]:
    """Return everything that was counted, comparable."""
    found = dict(vars(counts))
    for name in ("routes", "clients", "servers", "asked"):
        found[name] = (
            dict(found[name].total),
            {key: count for key, count in found[name].failed.items() if count},
            found[name].lost,
        )
    for name in ("messages", "wordings"):
        found[name] = {
            said: (heard.order, dict(heard.minutes.items()), heard.place, heard.text) for said, heard in found[name].items()
        }
    found["paths"] = counts.paths.value()
    for name in ("errors", "failed"):
        held = found[name].in_order()
        kinds, shown = held.kinds(), held.shown()
        found[name] = [(kinds[number], held.line(index, shown)) for index, number in enumerate(held.shared)], held.is_full
    found["tries"] = {key: (tried.count, tried.last, dict(tried.minutes.items())) for key, tried in counts.tries.items()}
    found["times"] = {key: dict(times) for key, times in counts.times.items()}
    return found


def count(path: Path, form: Form, ask: ScanQuery, cuts: tuple[int, ...] = ()) -> Counts:
    """Return the counts of a plain file, cut into parts at these bytes."""
    session = Session(ask)
    edges = sorted({0, *cuts, path.stat().st_size})
    for number, (start, end) in enumerate(pairwise(edges)):
        session.read(Part(path=str(path), form=form, index=number, start=start, end=end))
    return session.total()


def reported(
    *paths: Path, ask: ScanQuery | None = None, given: Form | None = None, jobs: int = 1, which: engine.Engine = engine.alone
) -> Report:
    """Return the report of files."""
    job = Job(paths=tuple(map(str, paths)), query=ask or ScanQuery(), given=given)
    return run(job, engine=which, jobs=jobs, means=lambda _symptom, cause: Meaning(cause=cause))
