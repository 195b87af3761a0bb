"""The diagnosis as JSON: built field by field, through the types of the contract."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from why502.model import finding as model
from why502.model import remedy as remedies
from why502.redaction import in_place
from why502.render import contract
from why502.render.words import Terminal, printable
from why502.version import __version__


def render(diagnosis: model.Diagnosis, terminal: Terminal) -> str:
    """Return one JSON object, indented, with a line feed."""
    return msgspec.json.format(msgspec.json.encode(document(diagnosis)), indent=2).decode() + "\n"


def render_line(diagnosis: model.Diagnosis, terminal: Terminal) -> str:
    """Return the object on one line (jsonl)."""
    return msgspec.json.encode(document(diagnosis)).decode() + "\n"


def document(diagnosis: model.Diagnosis) -> contract.Diagnosis:
    """Return the contract's object."""
    return contract.Diagnosis(
        schema="why502.diagnosis/1",
        why502=__version__,
        taken_at=second(diagnosis.taken_at),
        window=contract.Window(since=_time(diagnosis.since), until=_time(diagnosis.until)),
        verdict=diagnosis.verdict,
        hosts=[printable(host) for host in diagnosis.hosts],
        findings=[finding_object(finding) for finding in diagnosis.findings],
        checks=[
            contract.Check(id=printable(c.id), title=printable(c.title), status=c.status, detail=printable(c.detail))
            for c in diagnosis.checks
        ],
        gaps=[
            contract.Gap(source=printable(gap.source), reason=printable(gap.reason), hint=printable(gap.hint))
            for gap in diagnosis.gaps
        ],
        traffic=contract.Traffic(
            requests=diagnosis.requests,
            by_status={printable(status): count for status, count in sorted(diagnosis.by_status.items())},
            failures=diagnosis.failures,
        ),
    )


def second(at: datetime) -> datetime:
    """Return a time in UTC, to the second."""
    return at.astimezone(UTC).replace(microsecond=0)


def _time(at: datetime | None) -> datetime | None:
    return second(at) if at else None


def finding_object(finding: model.Finding) -> contract.Finding:
    """Return one finding as an object of the contract."""
    place = finding.place
    at = place.at if place and place.at and place.at.file else None  # an admin interface's routes have no file
    return contract.Finding(
        cause=printable(finding.cause),
        layer=finding.layer,
        confidence=round(finding.confidence, 3),
        target=printable(finding.subject) or None,
        proxy=printable(finding.proxy) if finding.proxy is not None else None,
        route=contract.Route(
            server=printable(place.server),
            location=printable(place.location),
            file=printable(at.file) if at else None,
            line=at.line if at else None,
        )
        if place
        else None,
        statuses=list(finding.statuses),
        failures=finding.failures,
        first_seen=_time(finding.first_seen),
        last_seen=_time(finding.last_seen),
        ongoing=finding.ongoing,
        message=printable(finding.message),
        evidence=[
            contract.Evidence(message=printable(item.message), source=printable(item.source), weight=item.weight)
            for item in finding.evidence
        ],
        remedies=[remedy(item) for item in finding.remedies],
    )


def remedy(item: remedies.Remedy) -> contract.Remedy:
    """Return one remedy as an object of the contract."""
    return contract.Remedy(message=printable(item.message), safe=item.safe, steps=[_step(step) for step in item.steps])


def _step(step: remedies.Edit | remedies.Run) -> contract.Step:
    if isinstance(step, remedies.Run):
        return contract.Step(run=[printable(word) for word in step.argv])
    return contract.Step(edit=contract.Edit(file=printable(step.file), line=step.line, diff=printable(in_place(step.diff))))
