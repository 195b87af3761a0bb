"""docs/monitoring.md lists every metric as in the code, every alert with its severity, and every setting."""

from __future__ import annotations

import re

import yaml
from asking import ROOT

from why502.generate.observability.dashboards import dashboards
from why502.generate.observability.rules import rules
from why502.watch.metrics.families import FAMILIES, OVERFLOW, TRAFFIC
from why502.watch.metrics.settings import MetricsSettings

PAGE = ROOT / "docs" / "monitoring.md"
METRICS = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end of metrics -->)", re.DOTALL)
ALERTS = re.compile(r"(?<=<!-- alerts -->\n).*?(?=<!-- end of alerts -->)", re.DOTALL)


def listed() -> str:
    """Return the table of all metrics."""
    rows = [
        f"| `{family.full_name}` | {family.kind.value} | {', '.join(family.labels)} | {family.help} |"
        for family in (*TRAFFIC, *FAMILIES, OVERFLOW)
    ]
    return "\n".join(["| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def test_the_metrics_are_up_to_date(update: bool) -> None:
    page = PAGE.read_text()
    assert METRICS.search(page)
    if update:
        PAGE.write_text(METRICS.sub(lambda _: listed(), page))
    assert METRICS.search(PAGE.read_text())[0] == listed(), "run make docs"  # type: ignore[index]


def test_every_alert_is_there_with_its_severities() -> None:
    found: dict[str, list[str]] = {}
    for group in yaml.safe_load(rules(99.9))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                found.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    table = ALERTS.search(PAGE.read_text())
    assert table
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| .+ \|$", table[0], re.MULTILINE))
    assert rows == {alert: ", ".join(severities) for alert, severities in found.items()}


def test_every_setting_and_dashboard_is_there() -> None:
    page = PAGE.read_text()
    for name in MetricsSettings.__struct_fields__:
        default = getattr(MetricsSettings(), name)
        shown = '""' if default == "" else default
        assert f"| `{name}` | `{shown}` |" in page
    assert all(f"`{name}`" in page or f"dashboard {name}`" in page for name in dashboards(99.9))
