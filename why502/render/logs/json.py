"""The log report for programs: schema why502.logs/1."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec

from why502.logs.scan.report import Report, Row, Times
from why502.redaction import clean, redact
from why502.redaction.snapshots import without_secrets
from why502.render.logs import contract, tables
from why502.render.words import Terminal
from why502.version import __version__

SCHEMA = "why502.logs/1"


def render(report: Report, terminal: Terminal, *, by: str = "", top: int = 10) -> str:
    """Return one JSON object."""
    return json.dumps(without_secrets(value(report, by=by, top=top)), indent=2, ensure_ascii=False) + "\n"


def value(report: Report, *, by: str = "", top: int = 10) -> dict[str, Any]:
    """Return what is written."""
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "why502": __version__,
        "window": {"since": _time(report.since), "until": _time(report.until)},
        "first": _time(report.first),
        "last": _time(report.last),
        "partial": report.is_partial,
        "only": report.only or "all",
        "where": [_text(condition) for condition in report.where],
        "files": [
            {
                "path": _text(file.path),
                "format": file.format,
                "log_format": file.log_format or None,
                "format_source": _text(file.format_source),
                "size_bytes": file.size_bytes,
                "read_bytes": file.read_bytes,
                "lines": file.lines,
                "unparsed": file.unparsed,
                "error": _text(file.reason) or None,
            }
            for file in report.files
        ],
        "lines": report.lines,
        "unparsed": {
            "lines": report.unparsed,
            "first": [{"source": _text(place), "text": _text(text)} for place, text in report.unparsed_first],
        },
        "requests": report.requests,
        "failures": report.failures,
        "recovered": {"requests": report.recovered_requests, "attempts": report.recovered_attempts},
        "by_status": report.by_status,
        "exactness": {
            "percentile_error": report.time_error,
            "lacking": report.lost,
            "message": tables.exactness(report),
        },
    }
    if by:
        found["by"] = by
        found["rows"] = _causes(report) if by == "cause" else [_row(row, by) for row in tables.table(report, by)]
        return found
    return found | {
        "bursts": [
            {
                "start": _time(burst.start),
                "end": _time(burst.end),
                "peak_at": _time(burst.peak_at),
                "peak_per_minute": burst.peak,
                "usual_per_minute": burst.usual,
                "failures": burst.failures,
                "requests": burst.requests,
                "changed": [_text(message) for message in burst.changed],
            }
            for burst in report.bursts
        ],
        "causes": _causes(report),
        "targets": [
            {
                "target": _text(row.target),
                "group": _text(row.group) or None,
                "attempts": row.attempts,
                "failures": row.failures,
                "share": round(row.share, 6),
                "recovered": row.recovered,
                "statuses": row.statuses,
                "bad": row.is_bad,
                "others_share": None if row.others_share is None else round(row.others_share, 6),
                "connect": _times(row.connect),
                "header": _times(row.header),
                "response": _times(row.response),
                "connect_timeout_s": row.connect_timeout_s,
                "read_timeout_s": row.read_timeout_s,
                "longest_read_timeout_s": row.longest_read_timeout_s,
            }
            for row in report.targets
        ],
        "routes": [_row(row, "route") for row in report.routes[: max(top, 100)]],
        "slowest_routes": [_row(row, "route") for row in tables.slowest(report, top)],
        "servers": [_row(row, "server") for row in report.servers[: max(top, 100)]],
        "clients": {
            "failing": [_row(row, "client") for row in tables.failing(report.clients, top)],
            "busiest": [_row(row, "client") for row in tables.busiest(report.clients, top)],
        },
        "unknown_messages": [
            {
                "message": _text(row.text),
                "count": row.count,
                "first": _time(row.first),
                "last": _time(row.last),
                "sample": {"source": _text(row.place), "text": _text(row.sample)},
            }
            for row in report.wordings[: max(top, 10)]
        ],
        "attempts": [_row(row, "attempts") for row in report.by_attempts.values()],
        "step_s": report.step_s,
        "minutes": [
            {
                "minute": f"{minute.at:%Y-%m-%dT%H:%M}Z",
                "requests": minute.requests,
                "failures": minute.failures,
                "recovered": minute.recovered,
                "statuses": minute.statuses,
                "symptoms": minute.symptoms,
            }
            for minute in report.minutes
        ],
    }


def document(report: Report) -> contract.Logs:
    """Return the whole report as the contract's object."""
    return msgspec.convert(without_secrets(value(report)), contract.Logs)


def _causes(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "cause": row.cause or None,
            "symptom": row.symptom,
            "message": row.message,
            "fault_domain": row.fault_domain or None,
            "source": tables.source(row),
            "failure": row.is_failure,
            "count": row.count,
            "targets": {_text(target): count for target, count in row.targets.items()},
            "first": _time(row.first),
            "last": _time(row.last),
            "sample": {"source": _text(row.place), "text": _text(row.text)} if row.text else None,
        }
        for row in report.causes
    ]


def _row(row: Row, by: str) -> dict[str, Any]:
    return {
        by: _text(row.name),
        "requests": row.requests,
        "failures": row.failures,
        "share": round(row.share, 6),
        "statuses": row.statuses,
        **({"times": _times(row.times)} if row.times else {}),
    }


def _times(times: Times | None) -> dict[str, float | int] | None:
    if times is None:
        return None
    return {name: getattr(times, name) for name in ("count", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")}


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def _text(text: str) -> str:
    return clean(redact(text))
