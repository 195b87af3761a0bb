"""One run of `why502 logs`: find the files, plan, read, merge the parts in order, and build the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.held import MOST_LINES
from why502.logs.native import ReaderError
from why502.logs.scan.cause_rows import Meaning
from why502.logs.scan.counts import Counts
from why502.logs.scan.engine import Engine, cores
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import Form
from why502.logs.scan.plan import Planned
from why502.logs.scan.report import File, Report
from why502.logs.scan.reporting import report
from why502.logs.scan.source import renew
from why502.logs.scan.work import Part, Read
from why502.model.times import of_epoch


def run(
    job: Job,
    *,
    engine: Engine,
    jobs: int | None,
    means: Callable[[str, str], Meaning],
    meanwhile: Callable[[], None] = lambda: None,
) -> Report:
    """Return the report. Raises Why502Error if a path matches nothing. `meanwhile` is called once, while other threads read."""
    plans = job.plans()
    parts = _numbered(plans)
    if (
        len({planned.form.name == NGINX_ACCESS for planned in plans if planned.parts}) > 1
    ):  # data in one log about the other log's requests
        job.query = msgspec.structs.replace(job.query, most_held=MOST_LINES)
    renew()
    job.is_reading = True
    try:
        total, reads = _read(parts, job, engine, jobs or cores(), meanwhile)
    except ReaderError:  # a bug in the compiled reader costs only speed
        job.query = msgspec.structs.replace(job.query, is_fast=False)
        total, reads = _read(parts, job, engine, jobs or cores(), lambda: None)
    by_file: dict[str, list[int]] = {}
    whys: dict[str, str] = {}
    for read in reads:
        path = parts[read.number].path
        seen = by_file.setdefault(path, [0, 0])
        seen[0] += read.lines
        seen[1] += read.unparsed
        if read.reason:
            whys.setdefault(path, read.reason)
    files = tuple(
        File(
            path=planned.source.path,
            format=words(planned.form),
            log_format=planned.form.log_format,
            format_source=planned.form.format_source if planned.parts else "",
            size_bytes=planned.source.size_bytes,
            read_bytes=planned.read_bytes,
            lines=by_file.get(planned.source.path, [0, 0])[0],
            unparsed=by_file.get(planned.source.path, [0, 0])[1],
            reason=planned.reason or whys.get(planned.source.path, ""),
        )
        for planned in plans
    )
    return report(
        total,
        files,
        since=_moment(job.query.since),
        until=_moment(job.query.until),
        only=job.query.only,
        where=job.query.where,
        by=job.query.by,
        known=job.formats.known,
        means=means,
        is_partial=len(reads) < len(parts) or job.is_over,
    )


def _numbered(plans: Sequence[Planned]) -> list[Part]:
    parts = [part for planned in plans for part in planned.parts]
    return [msgspec.structs.replace(part, index=index) for index, part in enumerate(parts)]


def _read(parts: Sequence[Part], job: Job, engine: Engine, jobs: int, meanwhile: Callable[[], None]) -> tuple[Counts, list[Read]]:
    """Return the sum over the parts."""
    total, reads = Counts(is_exact=job.query.is_exact), []
    results = engine(parts, job, jobs)
    meanwhile()
    for result in results:
        total.merge(result.counts)
        reads += result.parts
        total.prune()
    return total, reads


def words(form: Form) -> str:
    """Return the name of a form, for display."""
    if form.w3c:
        return "W3C extended"
    if form.name == NGINX_ACCESS:  # many other servers write this format too
        return "JSON access log" if form.log_format.lstrip().startswith("{") else "access log"
    return (form.name or "unknown").replace("_", " ")


def _moment(at: int) -> datetime | None:
    return of_epoch(at)
