"""`diagnose` and `logs` count the same lines, requests and failures in one file, whatever its format."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sampled import few, sampled
from test_truth import GIVEN, LINES, PAIRS, differ, plans, read
from truth import COMBINATIONS, FORMATS, Shape, write

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.host.local import LocalHost
from why502.logs import formats
from why502.logs.line_reader import LogInput
from why502.logs.scan.line_format import Form, of_format
from why502.logs.summary import summarise
from why502.model.logs import LogSummary, Symptom


def summary(path: Path, given: Form | None, shape: Shape) -> LogSummary:
    """Return what `diagnose` counts of a log whose format is known, or is to be found."""
    known = {"kind": "access", "format": given.log_format, "escape": given.escape} if given else {}
    log = LogInput(path=str(path), is_rotated=False, **known)
    found, gaps = summarise(LocalHost(), [log], shape.start - timedelta(days=1), shape.start + timedelta(days=1))
    assert not gaps
    return found


def failures(found: LogSummary) -> int:
    """Return how many failed attempts and requests `diagnose` counts, and the 500s of applications, which are failures in `logs`.

    A path that no route takes is none there.
    """
    failed = (tally for tally in found.tallies if tally.is_failure or tally.is_passed_on)
    return sum(tally.count for tally in failed if tally.symptom is not Symptom.ROUTE_MISSING)


@pytest.mark.parametrize(("name", "wrapper"), few(sampled(PAIRS, 12), 4))
def test_diagnose_and_logs_count_the_same(name: str, wrapper: str, tmp_path: Path) -> None:
    number = list(COMBINATIONS).index(name) + list(COMBINATIONS[name]).index(wrapper)
    shape = Shape(format=name, wrapper=wrapper, lines=LINES, seed=number + 1, failures=0.2, odd=0.1, noise=0.1, attempts=2)
    path = tmp_path / "log"
    write(path, shape)
    given = of_format(FORMATS[name].log_format or "") if name in GIVEN else None
    found = summary(path, given, shape)
    told = read(plans(path, given), is_fast=True)[0]
    # A file is told twice where two readers share its lines.
    file = max(each.lines for each in found.files), min(each.unread for each in found.files)
    differences = [*differ("lines and unparsed", file, (told.lines, told.unparsed))]
    if found.files[0].format == NGINX_ACCESS or getattr(formats.named(found.files[0].format), "HAS_ALL_REQUESTS", False):
        differences += differ("requests", found.requests, told.requests)
        differences += differ("statuses", found.by_status, {name: count for name, count in told.by_status.items() if name != "-"})
        attempts = {str(traffic.target): traffic.attempts for traffic in found.targets}
        differences += differ("attempts", attempts, {row.target: row.attempts for row in told.targets if row.target in attempts})
    differences += differ("failures", failures(found), sum(row.count for row in told.causes if row.is_failure))
    assert differences == []
