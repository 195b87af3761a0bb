"""Lint findings as JSON: the contract `why502.lint/1`, built field by field."""

from __future__ import annotations

from typing import Any

import msgspec

from why502.diagnosis.causes import CAUSES
from why502.linter.report import Report
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit, Remedy, Run
from why502.redaction import in_place, redact
from why502.render.words import Terminal
from why502.version import __version__

SCHEMA = "why502.lint/1"


def render(report: Report, terminal: Terminal) -> str:
    """Return one JSON object, indented, with a line feed."""
    return msgspec.json.format(msgspec.json.encode(fields(report)), indent=2).decode() + "\n"


def fields(report: Report) -> dict[str, Any]:
    """Return the contract's object."""
    return {
        "schema": SCHEMA,
        "why502": __version__,
        "nginx_version": report.nginx_version or None,
        "files": report.files,
        "summary": {f"{severity.value}s": report.count(severity) for severity in Severity},
        "suppressed": report.suppressed,
        "in_baseline": report.known,
        "findings": [_risk(risk, report) for risk in report.risks],
        "gaps": [{"source": _text(gap.source), "reason": _text(gap.reason), "hint": _text(gap.hint)} for gap in report.gaps],
    }


def _risk(risk: Risk, report: Report) -> dict[str, Any]:
    rule = report.rule(risk.rule)
    return {
        "rule": rule.id,
        "name": rule.name,
        "severity": (risk.severity or rule.severity).value,
        "cause": risk.cause,
        "layer": CAUSES[risk.cause].layer.value if risk.cause in CAUSES else "none",
        "message": _text(risk.message),
        "reason": rule.reason,
        "file": _text(report.name(risk.at.file)) if risk.at else None,
        "line": risk.at.line if risk.at else None,
        "column": risk.at.column if risk.at else None,
        "fingerprint": report.fingerprints.get(risk, ""),
        "remedies": [_remedy(remedy, report) for remedy in risk.remedies],
    }


def _remedy(remedy: Remedy, report: Report) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for step in remedy.steps:
        if isinstance(step, Edit):
            steps.append({"edit": {"file": _text(report.name(step.file)), "line": step.line, "diff": _text(in_place(step.diff))}})
        elif isinstance(step, Run):
            steps.append({"run": [_text(word) for word in step.argv]})
    return {"message": _text(remedy.message), "safe": remedy.safe, "steps": steps}


def _text(text: str) -> str:
    """Return text without secrets that can be encoded as UTF-8."""
    return redact(text).encode("utf-8", "backslashreplace").decode()
