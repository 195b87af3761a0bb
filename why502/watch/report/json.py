"""Incidents as JSON: built field by field, through the types of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from why502.redaction import in_place
from why502.render.json import finding_object, second
from why502.render.words import printable
from why502.version import __version__
from why502.watch.model import Incident
from why502.watch.report import contract, story


def render(incident: Incident, now: datetime) -> str:
    """Return one JSON object, indented, with a line feed."""
    return _indented(document(incident, now))


def render_list(incidents: Sequence[Incident], now: datetime) -> str:
    """Return one JSON object with all of them, indented, with a line feed."""
    documents = [document(incident, now) for incident in incidents]
    return _indented(contract.Incidents(schema="why502.incidents/1", why502=__version__, incidents=documents))


def _indented(value: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def document(incident: Incident, now: datetime) -> contract.Incident:
    """Return the contract's object."""
    proposal = incident.proposal
    return contract.Incident(
        schema="why502.incident/1",
        id=printable(incident.id),
        host=printable(incident.host),
        proxy=printable(incident.proxy),
        target=printable(incident.target) or None,
        location=printable(incident.location) or None,
        severity=incident.severity,
        symptom=printable(incident.symptom),
        message=printable(story.headline(incident)),
        cause=incident.cause or None,
        layer=incident.fault_domain if incident.cause else None,
        opened_at=second(incident.opened_at),
        closed_at=_time(incident.closed_at),
        duration_s=max(((incident.closed_at or now) - incident.opened_at).total_seconds(), 0.0),
        closing=printable(incident.closing),
        first_failure_at=_time(incident.first_failure_at),
        last_failure_at=_time(incident.last_failure_at),
        failures=incident.failures,
        requests=incident.requests,
        recovered=incident.recovered,
        symptoms={printable(symptom): count for symptom, count in incident.symptoms.items()},
        locations=list(map(printable, incident.locations)),
        targets=list(map(printable, incident.targets)),
        diagnosed=[
            contract.Diagnosed(
                at=second(one.at),
                occasion=one.occasion,
                finding=finding_object(one.finding) if one.finding else None,
                reason=printable(one.reason),
            )
            for one in incident.diagnosed
        ],
        fix=contract.Fix(
            message=printable(proposal.summary),
            diff=printable(in_place(proposal.diff)),
            command=printable(proposal.command),
            is_valid=proposal.is_valid,
        )
        if proposal
        else None,
        changes=[
            contract.Change(at=second(one.at), kind=one.kind, subject=printable(one.subject), detail=printable(one.detail))
            for one in incident.changes
        ],
        timeline=[contract.Step(at=second(step.at), message=printable(step.message)) for step in story.timeline(incident)],
        caused_by=incident.caused_by or None,
        earlier=incident.earlier or None,
        times_reopened=incident.times_reopened,
        labels={printable(name): printable(value) for name, value in incident.labels.items()},
    )


def _time(at: datetime | None) -> datetime | None:
    return second(at) if at else None
