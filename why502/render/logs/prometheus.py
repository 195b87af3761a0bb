"""The log report as metrics in Prometheus' text format 0.0.4, for the textfile collector of node_exporter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from why502.logs.scan.report import Report
from why502.render.logs import tables
from why502.render.words import Terminal, safe

Sample = tuple[dict[str, str], float]


def render(report: Report, terminal: Terminal, *, by: str = "", top: int = 10) -> str:
    """Return the exposition. Routes and clients are only the `top` ones, so that the number of series is bounded."""
    return "".join(_lines(report, top))


def _lines(report: Report, top: int) -> Iterator[str]:
    yield from _metric(
        "requests", "Requests by the status sent to the client.", (({"status": s}, n) for s, n in report.by_status.items())
    )
    yield from _metric("failures", "Requests that failed for the client.", [({}, report.failures)])
    yield from _metric(
        "recovered_requests", "Requests with failed attempts that a retry recovered.", [({}, report.recovered_requests)]
    )
    yield from _metric("unparsed_lines", "Lines that match no known format.", [({}, report.unparsed)])
    yield from _metric("partial", "1 if reading stopped before the end.", [({}, int(report.is_partial))])
    yield from _metric(
        "target_attempts",
        "Attempts by target and status.",
        (({"target": r.target, "status": s}, n) for r in report.targets for s, n in r.statuses.items()),
    )
    yield from _metric(
        "target_failures", "Failed attempts by target.", (({"target": r.target}, r.failures) for r in report.targets)
    )
    yield from _metric(
        "target_bad",
        "1 if it fails far more often than its peers.",
        (({"target": r.target}, int(r.is_bad)) for r in report.targets),
    )
    yield from _metric(
        "target_response_seconds",
        "Response time percentiles by target, estimated unless --exact is given.",
        (
            ({"target": row.target, "percentile": percentile}, seconds)
            for row in report.targets
            if row.response
            for percentile, seconds in (
                ("50", row.response.p50_s),
                ("95", row.response.p95_s),
                ("99", row.response.p99_s),
                ("100", row.response.max_s),
            )
        ),
    )
    yield from _metric(
        "route_failures",
        "Failed requests of the routes with the most failures.",
        (({"route": r.name}, r.failures) for r in tables.failing(report.routes, top)),
    )
    causes: Counter[tuple[str, str, str]] = Counter()
    for row in report.causes:
        causes[row.cause, row.symptom, row.source] += row.count
    yield from _metric(
        "cause_events",
        "Failed attempts and error lines by cause.",
        (({"cause": c, "symptom": s, "source": source}, n) for (c, s, source), n in causes.items()),
    )
    if report.last:
        yield from _metric(
            "last_line_timestamp_seconds", "Time of the last line that was counted.", [({}, report.last.timestamp())]
        )


def _metric(name: str, message: str, samples: Iterable[Sample]) -> Iterator[str]:
    found = list(samples)
    if not found:
        return
    yield f"# HELP why502_logs_{name} {message}\n# TYPE why502_logs_{name} gauge\n"
    for labels, value in found:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"why502_logs_{name}{{{inner}}} {value:.17g}\n" if inner else f"why502_logs_{name} {value:.17g}\n"


def _escaped(text: str) -> str:
    return safe(text).replace("\\", "\\\\").replace('"', '\\"')
