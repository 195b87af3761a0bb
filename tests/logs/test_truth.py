"""What `logs` reports of written logs equals the truth that they were written from, for every format in every wrapper,
without a flag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sampled import sampled
from truth import COMBINATIONS, FORMATS, GATEWAY_FAILURES, Shape, Truth, write

from why502.logs.scan.counts import ROUTE, Counts
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import Form, of_format
from why502.logs.scan.part import Session
from why502.logs.scan.plan import Planned
from why502.logs.scan.report import Report
from why502.logs.scan.reporting import report
from why502.logs.scan.routes import route
from why502.logs.scan.work import ScanQuery

LINES = 240
# Bare numbers at the end of a line, whose unit no line tells: these formats are given, as `--log-format` does.
GIVEN = frozenset({"apache-us", "apache-s", "apache-ms", "apache-balancer"})
# ALB tells durations twice; the number at the end of a line with a forwarded client is of no known unit.
UNTIMED = frozenset({"aws-alb", "apache-forwarded"})
# What is named where a request failed before any server was asked.
GROUPS = frozenset(
    {"web@docker", "outbound|8080||shop.default.svc.cluster.local", "shop-web-80", "targetgroup/shop/73e2d6bc24d8a067"}
)


def plans(path: Path, given: Form | None) -> list[Planned]:
    """Return how a log is read: its format, and its parts."""
    found = Job(paths=(str(path),), query=ScanQuery(is_exact=True), given=given).plans()
    assert not any(planned.reason for planned in found)
    return found


def read(planned: list[Planned], *, is_fast: bool) -> tuple[Report, Counts]:
    """Return the report of a log and its counts, read in Python or with the compiled reader."""
    session = Session(ScanQuery(is_exact=True, is_fast=is_fast))
    for each in planned:
        for part in each.parts:
            session.read(part)
    counts = session.total()
    return report(counts, ()), counts


def as_number(status: str) -> int:
    """Return a status, 0 for none."""
    return 0 if status == "-" else int(status)


def is_failure(status: int) -> bool:
    """Return whether the truth counts a status as a failure."""
    return status in GATEWAY_FAILURES


def minute(at: datetime) -> str:
    """Return a minute as the truth names it."""
    return at.strftime("%Y-%m-%dT%H:%MZ")


def differences(found: Report, counts: Counts, truth: Truth) -> Iterator[str]:
    """Yield each total that is not as it was written."""
    form = FORMATS[truth.format]
    yield from differ("unparsed", found.unparsed, 0)
    if form.kind == "access":
        yield from differ("first", found.first, truth.first and truth.first.replace(microsecond=0))
        yield from differ("last", found.last, truth.last and truth.last.replace(microsecond=0))
        yield from access(found, counts, truth)
    elif form.kind == "connections":
        failed = sum(row.count for row in found.causes if row.is_failure)
        yield from differ("failed connections", failed, sum(count for state, count in truth.kinds.items() if state != "--"))
    elif form.kind == "errors":
        yield from differ("failures", found.failures, truth.failed)
        yield from differ(
            "failed minutes", {minute(one.at): one.failures for one in found.minutes if one.failures}, dict(truth.failed_minutes)
        )
    if form.kind in ("errors", "events"):
        told: Counter[str] = Counter()
        for row in found.causes:
            if row.is_failure:  # that no server is left is said of the backend
                told.update({name: count for name, count in row.targets.items() if name != "app"})
        yield from differ("targets", told, Counter({name: by.total() for name, by in truth.targets.items()}))


def access(found: Report, counts: Counts, truth: Truth) -> Iterator[str]:
    """Yield the totals of an access log that are not as they were written."""
    yield from differ("requests", found.requests, truth.requests)
    yield from differ("statuses", {as_number(name): count for name, count in found.by_status.items()}, dict(truth.statuses))
    yield from differ("minutes", {minute(one.at): one.requests for one in found.minutes}, dict(truth.minutes))
    failed = {
        minute(one.at): sum(count for status, count in one.statuses.items() if is_failure(as_number(status)))
        for one in found.minutes
    }
    yield from differ("failed minutes", {name: count for name, count in failed.items() if count}, dict(truth.failed_minutes))
    targets = {
        as_written(row.target, truth): {as_number(status): count for status, count in row.statuses.items()}
        for row in found.targets
        if row.target not in GROUPS or not all(is_failure(as_number(status)) for status in row.statuses)
    }
    if truth.format == "apache-balancer":  # the member that took a request is told, what it answered is not
        yield from differ(
            "targets", {name: by[0] for name, by in targets.items()}, {name: by.total() for name, by in truth.targets.items()}
        )
    else:
        yield from differ("targets", targets, {name: dict(by) for name, by in truth.targets.items()})
    routes = {row.name: row.requests for row in found.routes if not row.name.startswith("(")}
    if FORMATS[truth.format].has_route:
        true: dict[str, Counter[int]] = {}
        for name, by in truth.routes.items():
            true.setdefault(route(name), Counter()).update(by)
        bad = {name: count for name, count in routes.items() if name not in true}
        if sum(bad.values()) > truth.bad_requests:
            yield f"routes that nobody asked for: {bad}"
        yield from differ(
            "routes",
            {name: count for name, count in routes.items() if name in true},
            {name: by.total() for name, by in true.items()},
        )
        statuses = {
            row.name: {as_number(status): count for status, count in row.statuses.items() if is_failure(as_number(status))}
            for row in found.routes
            if row.name in true
        }
        yield from differ(
            "routes by status",
            statuses,
            {name: {status: count for status, count in by.items() if is_failure(status)} for name, by in true.items()},
        )
    if FORMATS[truth.format].has_client:
        yield from differ("clients", {row.name: row.requests for row in found.clients}, dict(truth.clients))
    if truth.durations_us and truth.format not in UNTIMED:
        durations: Counter[int] = Counter()
        for (whose, _), times in counts.times.items():
            if whose == ROUTE:
                durations.update(times)
        yield from differ("durations", durations, truth.durations_us)


def as_written(target: str, truth: Truth) -> str:
    """Return a target as its line names it: Cloudflare's lines leave out the port, and IPv6 without a port has no brackets."""
    target = target.removesuffix(":80") if truth.format.startswith("cloudflare") else target
    return target[1:-1] if target.startswith("[") and target.endswith("]") else target


def differ(name: str, found: object, true: object) -> Iterator[str]:
    """Yield what differs."""
    if found == true:
        return
    if isinstance(found, dict) and isinstance(true, dict):
        odd = [key for key in found.keys() | true.keys() if found.get(key) != true.get(key)]
        shown = ", ".join(f"{key}: {found.get(key)} for {true.get(key)}" for key in sorted(odd, key=str)[:4])
        yield f"{name}: {len(odd)} of {len(true)} differ: {shown}"
    else:
        yield f"{name}: {found} for {true}"


# Each format is read plain and in some wrappers, each wrapper with some formats; all pairs are the thorough test.
PAIRS = [
    pytest.param(name, wrapper, marks=() if wrapper == "plain" or (row + column) % 5 == 0 else pytest.mark.thorough)
    for row, (name, wrappers) in enumerate(COMBINATIONS.items())
    for column, wrapper in enumerate(wrappers)
]


@pytest.mark.parametrize(("name", "wrapper"), sampled(PAIRS, 4))
def test_totals_are_those_that_were_written(name: str, wrapper: str, tmp_path: Path) -> None:
    number = list(COMBINATIONS).index(name) + list(COMBINATIONS[name]).index(wrapper)
    shape = Shape(
        format=name,
        wrapper=wrapper,
        lines=LINES,
        seed=number + 1,
        failures=0.2,
        odd=0.1,
        noise=0.1,
        attempts=1 + number % 2,
        order="shuffled" if number % 3 == 0 else "time",
        ip_family=6 if number % 4 < 2 else 4,
    )
    path = tmp_path / "log"
    truth = write(path, shape)
    given = of_format(FORMATS[name].log_format or "") if name in GIVEN else None
    planned = plans(path, given)
    assert list(differences(*read(planned, is_fast=False), truth)) == []
    assert [f"compiled: {each}" for each in differences(*read(planned, is_fast=True), truth)] == []
