"""Lint findings as JSON: the contract `why502.lint/1`, built field by field through its types."""

from __future__ import annotations

import msgspec

from why502.diagnosis.causes import CAUSES
from why502.linter.report import Report
from why502.model import finding as model
from why502.model import remedy as remedies
from why502.redaction import in_place
from why502.render.contract import Edit, Gap, Remedy, Step
from why502.render.lint import contract
from why502.render.words import Terminal, printable
from why502.version import __version__


def render(report: Report, terminal: Terminal) -> str:
    """Return one JSON object, indented, with a line feed."""
    return msgspec.json.format(msgspec.json.encode(document(report)), indent=2).decode() + "\n"


def document(report: Report) -> contract.Lint:
    """Return the contract's object."""
    return contract.Lint(
        schema="why502.lint/1",
        why502=__version__,
        nginx_version=report.nginx_version or None,
        files=report.files,
        summary=contract.Summary(**{f"{severity.value}s": report.count(severity) for severity in model.Severity}),
        suppressed=report.suppressed,
        in_baseline=report.known,
        findings=[_risk(risk, report) for risk in report.risks],
        gaps=[Gap(source=printable(gap.source), reason=printable(gap.reason), hint=printable(gap.hint)) for gap in report.gaps],
    )


def _risk(risk: model.Risk, report: Report) -> contract.Risk:
    rule = report.rule(risk.rule)
    return contract.Risk(
        rule=rule.id,
        name=rule.name,
        severity=risk.severity or rule.severity,
        cause=risk.cause,
        layer=CAUSES[risk.cause].layer.value if risk.cause in CAUSES else "none",
        message=printable(risk.message),
        reason=rule.reason,
        file=printable(report.name(risk.at.file)) if risk.at else None,
        line=risk.at.line if risk.at else None,
        column=risk.at.column if risk.at else None,
        fingerprint=report.fingerprints.get(risk, ""),
        remedies=[_remedy(remedy, report) for remedy in risk.remedies],
    )


def _remedy(remedy: remedies.Remedy, report: Report) -> Remedy:
    return Remedy(message=printable(remedy.message), safe=remedy.safe, steps=[_step(step, report) for step in remedy.steps])


def _step(step: remedies.Edit | remedies.Run, report: Report) -> Step:
    if isinstance(step, remedies.Run):
        return Step(run=[printable(word) for word in step.argv])
    return Step(edit=Edit(file=printable(report.name(step.file)), line=step.line, diff=printable(in_place(step.diff))))
