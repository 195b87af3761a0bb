"""Dashboards for Grafana: each module with a `dashboard` function is one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from why502.generate.observability.dashboards.panels import Dashboard, text


def all_dashboards(objective: float) -> tuple[Dashboard, ...]:
    """Return the dashboards for an objective in per cent."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    return tuple(module.dashboard(objective) for module in modules if hasattr(module, "dashboard"))


def dashboards(objective: float) -> dict[str, str]:
    """Return the JSON of each dashboard by its name, for an objective in per cent."""
    return {dashboard.name: text(dashboard) for dashboard in all_dashboards(objective)}
