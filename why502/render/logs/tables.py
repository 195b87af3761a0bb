"""The tables of the log report, for all outputs: each a list of rows with the same keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from why502.logs.scan.report import CauseRow, Minute, Report, Row, TargetRow, Times


def table(report: Report, by: str) -> tuple[Row, ...]:
    """Return the rows of one table (see the option --by), the most important first."""
    if by == "status":
        return tuple(
            Row(name=status, requests=count, failures=_failed(report, status), statuses={status: count})
            for status, count in sorted(report.by_status.items(), key=lambda item: (-item[1], item[0]))
        )
    if by in ("route", "server", "client"):
        return {"route": report.routes, "server": report.servers, "client": report.clients}[by]
    if by == "target":
        return tuple(
            Row(name=row.target, requests=row.attempts, failures=row.failures, statuses=row.statuses, times=row.response)
            for row in report.targets
        )
    if by == "attempts":
        return tuple(report.by_attempts.values())
    if by == "method":
        return tuple(_methods(report.routes))
    if by in ("minute", "hour"):
        return tuple(_minutes(report.minutes, 16 if by == "minute" else 13))
    return report.asked


def _minutes(minutes: tuple[Minute, ...], characters: int) -> Iterator[Row]:
    requests: Counter[str] = Counter()
    statuses: dict[str, Counter[str]] = {}
    for minute in minutes:
        name = f"{minute.at:%Y-%m-%dT%H:%M}"[:characters]
        requests[name] += minute.requests
        statuses.setdefault(name, Counter()).update(minute.statuses)
        if not minute.statuses and minute.failures:
            statuses[name]["failed"] += minute.failures
    for name, its in statuses.items():
        yield Row(name=name, requests=requests[name], failures=its.total(), statuses=dict(sorted(its.items())))


def _methods(routes: tuple[Row, ...]) -> Iterator[Row]:
    """Yield the sums by method; of the routes that are listed."""
    requests: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for row in routes:
        method = row.name.split(" ", 1)[0] if " /" in row.name else row.name
        requests[method] += row.requests
        failures[method] += row.failures
    for name, count in requests.most_common():
        yield Row(name=name, requests=count, failures=failures[name])


def _failed(report: Report, status: str) -> int:
    return sum(minute.statuses.get(status, 0) for minute in report.minutes)


def slowest(report: Report, top: int) -> tuple[Row, ...]:
    """Return the routes with the longest 95th percentile among those with at least 20 requests (or all, if none has)."""
    timed = [row for row in report.routes if row.times]
    often = [row for row in timed if row.times and row.times.count >= 20] or timed
    return tuple(sorted(often, key=lambda row: (-(row.times or Times()).p95_s, row.name))[:top])


def failing(rows: tuple[Row, ...], top: int) -> tuple[Row, ...]:
    """Return the rows with most failures."""
    return tuple(row for row in rows if row.failures)[:top]


def busiest(rows: tuple[Row, ...], top: int) -> tuple[Row, ...]:
    """Return the rows with most requests."""
    return tuple(sorted(rows, key=lambda row: (-row.requests, row.name))[:top])


def unless_shown(rows: tuple[Row, ...], shown: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows, or none if a table above has all of them: a small log would show the same lines twice."""
    names = {row.name for row in shown}
    return rows if any(row.name not in names for row in rows) else ()


def timeout(row: TargetRow) -> str:
    """Return the read timeouts in force, in seconds: `60`, or `30-60` where locations differ."""
    if row.read_timeout_s is None:
        return "-"
    longest_s = row.longest_read_timeout_s or row.read_timeout_s
    return f"{row.read_timeout_s:g}" + (f"-{longest_s:g}" if longest_s > row.read_timeout_s else "")


def close(row: TargetRow) -> str:
    """Return how near the slowest answers come to the timeout in force, "" where it is unknown or far away."""
    if row.response is None or not row.read_timeout_s:
        return ""
    share = row.response.p99_s / row.read_timeout_s
    shortest = "" if timeout(row) == f"{row.read_timeout_s:g}" else ", the shortest in force"
    return f"p99 is {share:.0%} of the {row.read_timeout_s:g} s read timeout{shortest}" if share >= 0.5 else ""


def source(row: CauseRow) -> str:
    """Return where a cause was read from."""
    return "access log" if row.source == "access" else "error log"


def exactness(report: Report) -> str:
    """Return in one sentence what is exact and what is not."""
    exact = "Requests, statuses, minutes, targets, attempts and failures are exact"
    parts = [f"percentiles are at most {report.time_error:.1%} off" if report.time_error else "so are percentiles"]
    parts += [
        f"{name} beyond those listed were merged, and the count of a listed one may miss up to {most} requests"
        for name, most in report.lost.items()
    ]
    flag = "; use --exact for exact figures" if report.time_error or report.lost else ""
    return f"{exact}; {'; '.join(parts)}{flag}."
