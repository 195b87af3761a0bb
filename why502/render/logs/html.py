"""The log report as one self-contained HTML page with plots, light and dark."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from why502.logs.scan.report import Minute, Report, Times
from why502.render.logs import tables
from why502.render.words import Terminal, clock, safe
from why502.version import __version__

_DIRECTORY = Path(__file__).parent
_POINTS = 720  # of the plot over time; more minutes are summed up
_CAUSES = 6
_TARGETS = 24


def render(report: Report, terminal: Terminal, *, by: str = "", top: int = 10) -> str:
    """Return the page; every text in it is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(safe_text=safe, clock=clock, fields=_fields)
    return environment.from_string(_file("page.html")).render(
        report=report,
        top=top,
        statuses=sorted((status, report.by_status[status]) for status in report.by_status if _is_failed(report, status))[:4],
        failing=tables.failing(report.routes, top),
        slowest=tables.slowest(report, top),
        clients=tables.failing(report.clients, top),
        busiest=tables.busiest(report.clients, top),
        timed=any(row.response for row in report.targets),
        exactness=tables.exactness(report),
        source=tables.source,
        near=tables.close,
        timeout=tables.timeout,
        version=__version__,
        data=Markup(_json(data(report))),  # noqa: S704 - escaped by _json
        uplot_css=Markup(_file("uplot/uPlot.min.css")),  # noqa: S704 - our own files
        uplot_js=Markup(_file("uplot/uPlot.iife.min.js")),  # noqa: S704
        plots_js=Markup(_file("plots.js")),  # noqa: S704
    )


def data(report: Report) -> dict[str, Any]:
    """Return what the plots show."""
    width, points = _summed(report.minutes)
    totals: Counter[str] = Counter()
    for _, counts in points:
        totals.update(counts)
    shown = [name for name, _ in totals.most_common(_CAUSES)]
    causes = {row.symptom: row.cause for row in report.causes if row.cause}
    series = [{"name": causes.get(name, name), "counts": [counts[name] for _, counts in points]} for name in shown]
    if len(totals) > _CAUSES:
        series.append(
            {"name": "others", "counts": [counts.total() - sum(counts[name] for name in shown) for _, counts in points]}
        )
    return {
        "time": {
            "at": [at for at, _ in points],
            "causes": series or [{"name": "failures", "counts": [0] * len(points)}],
            "bursts": [[burst.start.timestamp() - width / 2, burst.end.timestamp() + width / 2] for burst in report.bursts],
        },
        "targets": [
            {
                "name": safe(row.target),
                "failed": round(100 * row.share, 4),
                "recovered": round(100 * row.recovered / row.attempts, 4) if row.attempts else 0,
                "timeout": row.read_timeout_s,
                "longest": row.longest_read_timeout_s if row.longest_read_timeout_s != row.read_timeout_s else None,
                "times": {name[:-2]: getattr(row.response, name) for name in ("p50_s", "p95_s", "p99_s", "max_s")}
                if row.response
                else None,
            }
            for row in report.targets[:_TARGETS]
        ],
    }


def _summed(minutes: tuple[Minute, ...]) -> tuple[int, list[tuple[int, Counter[str]]]]:
    """Return the width of a point in seconds, and the points: their begin and the failures by symptom.

    Empty minutes are points, too.
    """
    if not minutes:
        return 60, []
    first, last = (int(at.timestamp()) for at in (minutes[0].at, minutes[-1].at))
    width = 60 * max(1, -(-((last - first) // 60 + 1) // _POINTS))
    counts: dict[int, Counter[str]] = {at: Counter() for at in range(first, last + 1, width)}
    for minute in minutes:
        at = first + (int(minute.at.timestamp()) - first) // width * width
        counts[at].update(minute.symptoms)
        if rest := minute.failures - sum(minute.symptoms.values()):
            counts[at]["failed"] += max(rest, 0)
    return width, sorted(counts.items())


def _json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _fields(times: Times | None) -> dict[str, float] | None:
    return {name: getattr(times, name) for name in ("p50_s", "p95_s", "p99_s", "max_s")} if times else None


def _is_failed(report: Report, status: str) -> bool:
    return any(status in minute.statuses for minute in report.minutes)


@lru_cache(8)
def _file(name: str) -> str:
    return (_DIRECTORY / name).read_text(encoding="utf-8")
