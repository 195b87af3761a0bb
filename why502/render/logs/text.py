"""The log report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from why502.logs.scan.report import Burst, CauseRow, Report, Row, TargetRow, Times, Wording
from why502.render.logs import histogram, tables
from why502.render.terminal import paint
from why502.render.words import Terminal, clock, safe

_NAME = 48
_LEAST_MINUTES = 3  # that make a chart
_LEAST_COLUMNS = 20
_BESIDE = 50  # columns for what stands beside the bars


def render(report: Report, terminal: Terminal, *, by: str = "", top: int = 10) -> str:
    """Return the report as lines of text; with `by`, one table."""
    lines = [*_sum(report, terminal)]
    if not terminal.is_quiet:
        lines += _by(report, by, top) if by else _all(report, terminal, top)
        lines += ["", *_notes(report, terminal)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _sum(report: Report, terminal: Terminal) -> Iterator[str]:
    color = "problem" if report.failures else "unknown" if _is_unread(report) else "healthy"
    if report.is_partial:
        yield paint("PARTIAL: reading stopped before the end; the report covers what was read until then.", "unknown", terminal)
    yield paint(_sentence(report), color, terminal)
    if report.recovered_requests:
        yield f"{report.recovered_requests} more were recovered by a retry after {report.recovered_attempts} failed attempts"
    if report.first and report.last:
        count = sum(1 for file in report.files if file.lines or not file.reason)
        yield f"{clock(report.first)} to {clock(report.last)}, {count} {'file' if count == 1 else 'files'}"


def _sentence(report: Report) -> str:
    """Return what failed, or what was read if there is nothing to count."""
    conditions = " and ".join(map(safe, report.where))
    among = f", where {conditions}" if conditions else ""
    if report.only:
        return f"{report.failures} requests failed" + (" with 5xx" if report.only == "5xx" else "") + among
    if report.requests:
        return f"{report.failures} of {report.requests} requests failed ({report.share:.2%}){among}"
    if report.failures:
        return f"{report.failures} error-log lines (no access log given){among}"
    if not report.lines:
        return ("No lines in the window" if report.since or report.until else "No lines") + among
    if _is_unread(report):
        return f"0 of {report.lines} lines match a known format"
    if conditions:
        return f"0 of {report.lines} lines match {conditions}"
    return f"No failures in {report.lines} error-log lines (no access log given)"


def _is_unread(report: Report) -> bool:
    return 0 < report.lines == report.unparsed


def _all(report: Report, terminal: Terminal, top: int) -> Iterator[str]:
    if report.bursts:
        yield from ("", paint("Bursts", "bold", terminal))
        for burst in report.bursts[:top]:
            yield from _burst(burst)
    elif report.failures and len(report.minutes) > 1 and not report.is_partial:
        yield from ("", "No bursts: no minute has far more failures than the rest")
    yield from _over_time(report, terminal)
    if report.causes:
        yield from ("", paint("Causes", "bold", terminal))
        yield from _why(report.causes[: top if not terminal.is_verbose else None])
    if report.wordings:
        yield from ("", paint("Other error messages, by wording", "bold", terminal))
        yield from _wordings(report.wordings[:top])
    if report.by_status:
        yield from ("", paint("Statuses", "bold", terminal))
        yield "  " + ", ".join(f"{status} × {count}" for status, count in _most(report.by_status, 20))
    if report.targets:
        yield from ("", paint("Targets", "bold", terminal))
        yield from _targets(report.targets[:top], report, terminal)
    if routes := tables.failing(report.routes, top):
        yield from ("", paint("Routes with the most failures", "bold", terminal))
        yield from _rows(routes, report)
    if not report.only and (slowest := tables.unless_shown(tables.slowest(report, top), routes)):
        yield from ("", paint("Slowest routes", "bold", terminal))
        yield from _rows(slowest, report)
    if len(report.servers) > 1:
        yield from ("", paint("Server names", "bold", terminal))
        yield from _rows(report.servers[:top], report)
    if len(report.by_attempts) > 1 and report.has_upstream_fields:
        yield from ("", paint("Attempts per request", "bold", terminal))
        yield from _rows(report.by_attempts.values(), report)
    if clients := tables.failing(report.clients, top):
        yield from ("", paint("Clients with the most failures", "bold", terminal))
        yield from _rows(clients, report)
    if not report.only and (busiest := tables.unless_shown(tables.busiest(report.clients, top), clients)):
        yield from ("", paint("Clients with the most requests", "bold", terminal))
        yield from _rows(busiest, report)


def _burst(burst: Burst) -> Iterator[str]:
    of = f" of {burst.requests}" if burst.requests else ""
    yield (
        f"  {clock(burst.start)} to {burst.end:%H:%M}Z: {burst.failures}{of} requests failed; peak {burst.peak} per minute "
        f"at {burst.peak_at:%H:%M}Z, usual {burst.usual:g}"
    )
    for message in burst.changed:
        yield f"    {safe(message)}"


def _why(causes: Sequence[CauseRow]) -> Iterator[str]:
    rows = [
        [
            str(row.count),
            row.symptom,
            row.cause or "-",
            tables.source(row),
            ", ".join(f"{safe(target)} {count}" for target, count in list(row.targets.items())[:3]),
        ]
        for row in causes
    ]
    yield from _grid(["count", "seen", "usual cause", "source", "on"], rows, "<")
    for row in causes[:3]:
        if row.text:
            yield f"  {safe(row.place)}: {safe(row.text)[:200]}"
        elif row.message and not row.cause:
            yield f"  {row.symptom}: {row.message}"


def _over_time(report: Report, terminal: Terminal) -> Iterator[str]:
    """Yield the failures and requests over time, each as one row of bars."""
    if len(report.minutes) < _LEAST_MINUTES or not report.failures:
        return
    chart = histogram.of(report, max(terminal.width - _BESIDE, _LEAST_COLUMNS))
    yield from ("", paint(f"Over time, {chart.width} per column", "bold", terminal))
    rows = [("failed", chart.failures)] + ([] if report.only else [("requests", chart.requests)])
    for name, counts in rows:
        peak = max(counts)
        yield f"  {name.ljust(8)}  {histogram.bars(counts)}  peak {peak} at {clock(chart.at(counts.index(peak)))}"
    yield f"  {'':8}  {chart.axis()}"


def _wordings(rows: Sequence[Wording]) -> Iterator[str]:
    body = [[str(row.count), clock(row.first), clock(row.last), safe(row.text)[:120]] for row in rows]
    yield from _grid(["count", "first", "last", "message"], body, "<")
    yield f"  the first: {safe(rows[0].place)}: {safe(rows[0].sample)[:200]}"


def _targets(rows: Sequence[TargetRow], report: Report, terminal: Terminal) -> Iterator[str]:
    counts = ["failed"] if report.only else ["attempts", "failed", "share", "recovered"]
    head = ["target", *counts, "connect p95", "header p95", "resp. p50", "p95", "p99", "max"]
    has_timeout = any(row.read_timeout_s for row in rows)
    head += ["timeout"] if has_timeout else []
    body = [
        [
            safe(row.target),
            *(
                [str(row.failures)]
                if report.only
                else [str(row.attempts), str(row.failures), f"{row.share:.2%}", str(row.recovered)]
            ),
            _seconds(row.connect, "p95_s"),
            _seconds(row.header, "p95_s"),
            *(_seconds(row.response, name) for name in ("p50_s", "p95_s", "p99_s", "max_s")),
            *([tables.timeout(row)] if has_timeout else []),
        ]
        for row in rows
    ]
    yield from _grid(head, body)
    for row in rows:
        if row.is_bad:
            message = (
                f"  {safe(row.target)} stands out: {row.share:.2%} of attempts fail, against {row.others_share or 0:.2%} on "
                "its peers"
            )
            yield paint(message, "problem", terminal)
        if message := tables.close(row):
            yield paint(f"  {safe(row.target)}: {message}", "warn", terminal)
    if has_timeout:
        yield "  timeout: proxy_read_timeout or equivalent, from the configuration; the shortest and longest of all locations"


def _by(report: Report, by: str, top: int) -> Iterator[str]:
    yield ""
    if by == "cause":
        yield from _why(report.causes)
        return
    rows = tables.table(report, by)
    shown = rows if by in ("minute", "hour", "status", "attempts") else rows[: max(top, 10)]
    yield from _rows(shown, report, name=by)
    if len(rows) > len(shown):
        yield f"  and {len(rows) - len(shown)} more, with --top"


def _rows(rows: Iterable[Row], report: Report, name: str = "") -> Iterator[str]:
    rows = list(rows)
    has_times, has_statuses = any(row.times for row in rows), name != "status" and any(row.statuses for row in rows)
    head = (
        [name]
        + (["failed"] if report.only else ["requests", "failed", "share"])  # of the others nothing is known
        + (["p50", "p95", "p99", "max"] if has_times else [])
        + (["statuses"] if has_statuses else [])
    )
    body = []
    for row in rows:
        line = [_short(safe(row.name)) or "-"]
        line += [str(row.failures)] if report.only else [str(row.requests), str(row.failures), f"{row.share:.2%}"]
        line += [_seconds(row.times, one) for one in ("p50_s", "p95_s", "p99_s", "max_s")] if has_times else []
        line += [", ".join(f"{status} × {count}" for status, count in _most(row.statuses, 6))] if has_statuses else []
        body.append(line)
    yield from _grid(head, body)


def _grid(head: list[str], body: list[list[str]], align: str = ">") -> Iterator[str]:
    """Yield columns, as wide as they must be; the first and the last are aligned to the left."""
    widths = [max(len(line[at]) for line in (head, *body)) for at in range(len(head))]
    for line in (head, *body):
        cells = [
            text.ljust(width)
            if (at in (0, len(head) - 1) and head[at] not in ("max", "timeout", "share", "failed", "count"))
            or (align == "<" and at)
            else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  " + "  ".join(cells)


def _notes(report: Report, terminal: Terminal) -> Iterator[str]:
    if report.unparsed:
        yield f"{report.unparsed} of {report.lines} lines were unparsed ({report.unparsed_share:.2%}); the first:"
        for place, text in report.unparsed_first:
            yield f"  {safe(place)}: {safe(text)}"
    if report.only:
        yield "Only the lines of failures were read (--only). Other requests are not counted, and line formats were not checked."
    yield paint(tables.exactness(report), "dim", terminal)
    if terminal.is_verbose:
        for file in report.files:
            form = f"{file.format}, from {file.format_source}" if file.format_source else file.reason or "no lines in the window"
            yield f"  {safe(file.path)}: {file.lines} lines, {form}"
            if file.log_format:
                yield f"    {safe(file.log_format)}"


def _most(counts: dict[str, int], top: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]


def _seconds(times: Times | None, name: str) -> str:
    return "-" if times is None else f"{getattr(times, name):.3f}"


def _short(text: str) -> str:
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"
