"""The times of an application's answers, from the logs of the present proxies."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from why502.host.base import Host
from why502.logs.scan.cause_rows import Meaning
from why502.logs.scan.engine import alone
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import of_targets
from why502.logs.scan.report import Times
from why502.logs.scan.run import run
from why502.logs.scan.work import ScanQuery
from why502.model.config import LogKind
from why502.model.errors import HostError, Why502Error
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.session import log_formats

LEAST_REQUESTS = 100  # in the logs, for a percentile that means something
_SLOW = 3  # times p99: an answer that takes longer is not expected any more
_LOGS = 4
_MOST_LOG_BYTES = 256 << 20  # a larger log takes too long to read for one number


@dataclass(frozen=True, slots=True)
class Answers:
    """The times of the answers of one target, and the logs that name them."""

    times: Times
    paths: tuple[str, ...]

    @property
    def is_enough(self) -> bool:
        """Whether there are enough answers for a percentile."""
        return self.times.count >= LEAST_REQUESTS

    @property
    def needed_s(self) -> int:
        """The seconds after which no answer is expected any more: three times the 99th percentile."""
        return int(self.times.p99_s * _SLOW) + 1

    @property
    def words(self) -> str:
        """The percentiles in words, with their source."""
        times = self.times
        return (
            f"p50 is {_short(times.p50_s)} s and p99 {_short(times.p99_s)} s of {times.count} requests in {', '.join(self.paths)}"
        )


def answers(host: Host, snapshot: Snapshot, target: Target) -> Answers | None:
    """Return the times of a target's answers, from the access logs of the proxies on this machine; None if no log names it."""
    proxies = [proxy for proxy in snapshot.proxies or () if not proxy.root]
    named = [log.path for proxy in proxies for log in proxy.logs if log.kind is LogKind.ACCESS and log.path]
    paths = tuple(path for path in dict.fromkeys(named) if 0 < _size(host, path) <= _MOST_LOG_BYTES)[:_LOGS]
    if not paths:
        return None
    near = log_formats.near(paths)
    forms = {path: form for proxy in proxies for path, form in of_targets(proxy.logs, proxy.config).items()}
    job = Job(paths=paths, query=ScanQuery(), formats=msgspec.structs.replace(near, forms={**near.forms, **forms}))
    try:
        report = run(job, engine=alone, jobs=1, means=lambda _symptom, _cause: Meaning())
    except Why502Error:
        return None
    times = next((row.response for row in report.targets if row.target == str(target)), None)
    return Answers(times, paths) if times is not None and times.count else None


def _short(seconds: float) -> str:
    return f"{round(seconds, 1 if seconds >= 1 else 2):g}"


def _size(host: Host, path: str) -> int:
    try:
        return host.stat(path).size_bytes
    except HostError:
        return 0
