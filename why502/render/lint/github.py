"""Lint findings as workflow commands of GitHub Actions: annotations next to the lines of a change."""

from __future__ import annotations

from why502.linter.report import Report
from why502.model.finding import Risk, Severity
from why502.render.words import Terminal, safe

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(report: Report, terminal: Terminal) -> str:
    """Return a workflow command for each finding; "" for none."""
    return "".join(f"{_command(risk, report)}\n" for risk in report.risks)


def _command(risk: Risk, report: Report) -> str:
    values = {"title": f"{risk.rule} {report.rule(risk.rule).name}"}
    if risk.at is not None:
        values = {"file": report.name(risk.at.file), "line": str(risk.at.line), "col": str(risk.at.column), **values}
    advice = "; ".join(remedy.message for remedy in risk.remedies)
    options = ",".join(f"{name}={_property(value)}" for name, value in values.items())
    return f"::{_COMMANDS[risk.severity or Severity.NOTE]} {options}::{_data(f'{risk.message}. {advice}')}"


def _data(text: str) -> str:
    """Return text escaped for the runner; a raw line feed would start another command."""
    return safe(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
