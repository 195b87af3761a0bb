"""Reports on logs as `why502 logs` does, for as long as there is time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from why502.host.base import Host
from why502.logs.scan.engine import cores, threads
from why502.logs.scan.job import Job, LogSettings
from why502.logs.scan.plan import by_path
from why502.logs.scan.report import Report
from why502.logs.scan.run import run
from why502.model.errors import Why502Error
from why502.serve.tools.orders import LogsOrder, Reported
from why502.session import log_formats, log_reports

MOST_WORKERS = 2


@dataclass(slots=True, frozen=True, kw_only=True)
class Log:
    """A log: its name, which is shown, and its `path` on this machine, "" if a user uploaded it."""

    name: str
    path: str = ""


def report(order: LogsOrder, logs: Mapping[str, Log], now: datetime, host: Host, limit_s: float) -> Reported:
    """Return the report on logs, by the path to read each from; it is partial if they take longer to read. Raises Why502Error."""
    job = Job(
        paths=tuple(logs),
        query=log_reports.ask(order.question, now, host),
        given=log_formats.given(order.log_format, "default") if order.log_format else None,
        formats=_formats(logs),
    )
    clock = threading.Timer(limit_s, setattr, (job, "is_over", True))
    clock.daemon = True
    clock.start()
    try:
        found = run(job, engine=threads, jobs=min(cores(), MOST_WORKERS), means=log_reports.means)
    finally:
        clock.cancel()
    if found.files and all(file.reason for file in found.files) and not found.lines:
        first = found.files[0]
        raise Why502Error(f"{logs[first.path].name} cannot be read: {first.reason}", "Give a log, plain or .gz .bz2 .xz .zst.")
    return Reported(report=_named(found, logs))


def _formats(logs: Mapping[str, Log]) -> LogSettings:
    """Return what this machine's configuration says of its own logs."""
    paths = {opened: log.path for opened, log in logs.items() if log.path}
    if not paths:
        return LogSettings()
    settings = log_formats.near(tuple(paths.values()))
    forms = {opened: form for opened, path in paths.items() if (form := by_path(settings.forms, path)) is not None}
    return LogSettings(forms=forms, known=settings.known)


def _named(found: Report, logs: Mapping[str, Log]) -> Report:
    """Return the report with the names of the logs instead of the paths they were read from."""

    def named(place: str) -> str:
        path = next((path for path in logs if place.startswith((f"{path}:", f"{path} ")) or place == path), "")
        return logs[path].name + place.removeprefix(path) if path else place

    replace = msgspec.structs.replace
    return replace(
        found,
        files=tuple(replace(file, path=named(file.path)) for file in found.files),
        causes=tuple(replace(row, place=named(row.place)) for row in found.causes),
        wordings=tuple(replace(row, place=named(row.place)) for row in found.wordings),
        unparsed_first=tuple((named(place), text) for place, text in found.unparsed_first),
    )
