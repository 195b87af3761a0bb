"""The log report as one self-contained HTML page with plots, light and dark."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from why502.logs.scan.report import Report, Times
from why502.render import plots
from why502.render.logs import charts, tables
from why502.render.words import Terminal, clock, safe
from why502.version import __version__

_PAGE = Path(__file__).with_name("page.html")


def render(report: Report, terminal: Terminal, *, by: str = "", top: int = 10) -> str:
    """Return the page; every text in it is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(safe_text=safe, clock=clock, fields=_fields)
    routes, clients = tables.failing(report.routes, top), tables.failing(report.clients, top)
    return environment.from_string(_file(_PAGE)).render(
        report=report,
        top=top,
        statuses=sorted((status, report.by_status[status]) for status in report.by_status if _is_failed(report, status))[:4],
        failing=routes,
        slowest=tables.unless_shown(tables.slowest(report, top), routes),
        clients=clients,
        busiest=tables.unless_shown(tables.busiest(report.clients, top), clients),
        exactness=tables.exactness(report),
        source=tables.source,
        near=tables.close,
        timeout=tables.timeout,
        version=__version__,
        over_time=Markup(charts.over_time(report)),  # noqa: S704 - every text in a plot is escaped
        by_target=Markup(charts.by_target(report)),  # noqa: S704 - made of escaped parts
        by_time=Markup(charts.by_time(report)),  # noqa: S704 - likewise
        plots_css=Markup(_file(plots.STYLESHEET)),  # noqa: S704 - our own file
    )


def _fields(times: Times | None) -> dict[str, float] | None:
    return {name: getattr(times, name) for name in ("p50_s", "p95_s", "p99_s", "max_s")} if times else None


def _is_failed(report: Report, status: str) -> bool:
    return any(status in minute.statuses for minute in report.minutes)


@lru_cache(8)
def _file(path: Path) -> str:
    return path.read_text(encoding="utf-8")
