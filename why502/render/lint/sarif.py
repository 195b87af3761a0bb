"""Lint findings as SARIF 2.1.0 (OASIS, sarif-v2.1.0-os), which code hosts show next to the lines.

Findings suppressed by a comment or the baseline are left out, because many viewers still count suppressed results. Columns
count characters from 1, as `columnKind` declares.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from why502.deployment.rule import Rule
from why502.linter.report import Report
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit
from why502.redaction import redact
from why502.redaction.snapshots import without_secrets
from why502.render.words import Terminal
from why502.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_RANKS = {Severity.ERROR: 90.0, Severity.WARNING: 60.0, Severity.NOTE: 20.0}


def render(report: Report, terminal: Terminal) -> str:
    """Return one SARIF log with one run, indented, with a line feed."""
    return msgspec.json.format(msgspec.json.encode(without_secrets(fields(report))), indent=2).decode() + "\n"


def fields(report: Report) -> dict[str, Any]:
    """Return the SARIF log. Its rules are those that found something."""
    rules = [report.rule(id_) for id_ in sorted({risk.rule for risk in report.risks})]
    index = {rule.id: number for number, rule in enumerate(rules)}
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "why502", "semanticVersion": __version__, "rules": [_rule(rule) for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(risk, report, index[risk.rule]) for risk in report.risks],
        "invocations": [
            {"executionSuccessful": True, "toolExecutionNotifications": [_gap(gap.source, gap.reason) for gap in report.gaps]}
        ],
    }
    if report.base:
        run["originalUriBaseIds"] = {"ROOT": {"uri": f"file://{quote(report.base)}/"}}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.message},
        "fullDescription": {"text": rule.reason or rule.message},
        "help": {"text": f"{rule.reason} Leads to: {rule.cause}." if rule.cause else rule.reason or rule.message},
        "defaultConfiguration": {"level": rule.severity.value, "rank": _RANKS[rule.severity]},
        "properties": {"tags": ["availability", rule.cause] if rule.cause else ["security"]},
    }


def _result(risk: Risk, report: Report, index: int) -> dict[str, Any]:
    advice = "; ".join(remedy.message for remedy in risk.remedies)
    result: dict[str, Any] = {
        "ruleId": risk.rule,
        "ruleIndex": index,
        "level": (risk.severity or Severity.NOTE).value,
        "message": {"text": _text(f"{risk.message}. {advice[:1].upper()}{advice[1:]}." if advice else f"{risk.message}.")},
        "partialFingerprints": {"why502/v1": report.fingerprints.get(risk, "")},
    }
    if risk.at is not None:
        region = {"startLine": risk.at.line, "startColumn": report.columns.get(risk, risk.at.column)}
        result["locations"] = [{"physicalLocation": {"artifactLocation": _artifact(risk.at.file, report), "region": region}}]
    fixes = [_fix(remedy.message, [step for step in remedy.steps if isinstance(step, Edit)], report) for remedy in risk.remedies]
    if any(fixes):
        result["fixes"] = [fix for fix in fixes if fix]
    return result


def _fix(message: str, edits: list[Edit], report: Report) -> dict[str, Any] | None:
    if not edits:
        return None
    changes: dict[str, list[dict[str, Any]]] = {}
    for edit in edits:
        region = {"byteOffset": edit.start, "byteLength": edit.end - edit.start}
        changes.setdefault(edit.file, []).append({"deletedRegion": region, "insertedContent": {"text": _text(edit.after)}})
    return {
        "description": {"text": _text(message)},
        "artifactChanges": [
            {"artifactLocation": _artifact(file, report), "replacements": found} for file, found in changes.items()
        ],
    }


def _artifact(file: str, report: Report) -> dict[str, str]:
    name = report.name(file)
    uri = quote(name.encode("utf-8", "surrogateescape"))
    return {"uri": f"file://{uri}"} if name.startswith("/") else {"uri": uri, "uriBaseId": "ROOT"}


def _gap(source: str, reason: str) -> dict[str, Any]:
    return {"level": "note", "message": {"text": _text(f"not checked: {source}: {reason}")}}


def _text(text: str) -> str:
    """Return text without secrets that can be encoded as UTF-8."""
    return redact(text).encode("utf-8", "backslashreplace").decode()
