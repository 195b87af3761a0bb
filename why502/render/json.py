"""The diagnosis as JSON: the contract `why502.diagnosis/1`, built field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from why502 import __version__
from why502.logs.redact import redact
from why502.model.finding import Diagnosis, Evidence, Finding
from why502.model.remedy import Edit, Remedy, Run
from why502.render.words import Terminal

SCHEMA = "why502.diagnosis/1"


def render(diagnosis: Diagnosis, terminal: Terminal) -> str:  # noqa: ARG001 - all outputs are called alike
    """Return one JSON object, indented, with a line feed."""
    return msgspec.json.format(msgspec.json.encode(fields(diagnosis)), indent=2).decode() + "\n"


def render_line(diagnosis: Diagnosis, terminal: Terminal) -> str:  # noqa: ARG001 - all outputs are called alike
    """Return the object on one line (jsonl)."""
    return msgspec.json.encode(fields(diagnosis)).decode() + "\n"


def fields(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the contract's object."""
    return {
        "schema": SCHEMA,
        "why502": __version__,
        "taken_at": utc(diagnosis.taken_at),
        "window": {"since": utc(diagnosis.since), "until": utc(diagnosis.until)},
        "verdict": diagnosis.verdict.value,
        "hosts": list(diagnosis.hosts),
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "checks": [{"id": c.id, "says": c.says, "status": c.status.value, "detail": _text(c.detail)} for c in diagnosis.checks],
        "gaps": [{"source": _text(gap.source), "why": _text(gap.why), "allow": _text(gap.allow)} for gap in diagnosis.gaps],
        "traffic": {
            "requests": diagnosis.requests,
            "by_status": dict(sorted(diagnosis.by_status.items())),
            "failures": diagnosis.failures,
        },
    }


def utc(at: datetime | None) -> str | None:
    """Return an RFC 3339 time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def _text(text: str) -> str:
    """Return text without secrets that UTF-8 can hold: single surrogates (bytes that were no UTF-8) as `\\xNN`."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


def _finding(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "cause": finding.cause,
        "layer": finding.layer.value,
        "confidence": round(finding.confidence, 3),
        "target": _text(str(finding.target)) if finding.target is not None else None,
        "proxy": finding.proxy,
        "route": {
            "server": _text(place.server),
            "location": _text(place.location),
            "file": place.at.file if place.at else None,
            "line": place.at.line if place.at else None,
        }
        if place
        else None,
        "statuses": list(finding.statuses),
        "failures": finding.failures,
        "first_seen": utc(finding.first_seen),
        "last_seen": utc(finding.last_seen),
        "ongoing": finding.ongoing,
        "says": _text(finding.says),
        "evidence": [evidence(item) for item in finding.evidence],
        "remedies": [remedy(item) for item in finding.remedies],
    }


def evidence(item: Evidence) -> dict[str, Any]:
    """Return one piece of evidence as the contract has it."""
    return {"says": _text(item.says), "seen_in": _text(item.seen_in), "weight": item.weight}


def remedy(item: Remedy) -> dict[str, Any]:
    """Return one remedy as the contract has it."""
    return {"says": _text(item.says), "safe": item.safe, "steps": [_step(step) for step in item.steps]}


def _step(step: Edit | Run) -> dict[str, Any]:
    if isinstance(step, Run):
        return {"run": [_text(word) for word in step.argv]}
    return {"edit": {"file": step.file, "line": step.line, "diff": _text(step.diff)}}
