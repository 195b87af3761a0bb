"""The story of an incident: what it was in one sentence, what happened when, and what to do. Not escaped yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.watch import concern
from why502.watch.message import duration, lead
from why502.watch.model import Incident, Proposal, Step


def headline(incident: Incident) -> str:
    """Return what failed and why, in one sentence."""
    return lead(incident)


def state(incident: Incident, now: datetime) -> str:
    """Return whether it is open, and how long it has lasted."""
    lasted = duration((incident.closed_at or now) - incident.opened_at)
    return f"open for {lasted}" if incident.is_open else f"resolved after {lasted}"


def counts(incident: Incident) -> str:
    """Return how many requests failed."""
    asked = f" of {incident.requests}" if incident.requests else ""
    failed = f"{incident.failures}{asked} requests failed" if incident.failures else "no request failed"
    return f"{failed}, {incident.recovered} recovered by a retry" if incident.recovered else failed


def changes(incident: Incident) -> tuple[Step, ...]:
    """Return what changed on the machine shortly before and concerns it, in the order of time."""
    found = sorted(incident.changes, key=lambda change: change.at)
    return tuple(Step(at=change.at, message=concern.words(change)) for change in found)


def timeline(incident: Incident) -> tuple[Step, ...]:
    """Return what happened, in the order of time: the changes before, the failures, and the incident's own steps."""
    steps = list(changes(incident))
    if incident.first_failure_at is not None:
        steps.append(Step(at=incident.first_failure_at, message="first failed request"))
    steps += incident.timeline
    if incident.last_failure_at is not None and not incident.is_open:
        steps.append(Step(at=incident.last_failure_at, message="last failed request"))
    return tuple(sorted(steps, key=lambda step: step.at))


def own_proposal(incident: Incident) -> Proposal | None:
    """Return the tested fix, unless the finding shows the same one already."""
    finding, proposal = incident.finding, incident.proposal
    if proposal is None:
        return None
    shown = {remedy.message for remedy in finding.remedies} if finding else set()
    return None if proposal.summary in shown else proposal


def advice(incident: Incident, *, has_bundle: bool) -> Iterator[str]:
    """Yield what to do next."""
    finding = incident.finding
    if incident.caused_by:
        yield f"See the incident that caused it: why502 incidents show {incident.caused_by}"
    if incident.is_open:
        if finding is None:
            yield "Diagnose again, with more access than `why502 watch` has: sudo why502 diagnose"
        elif finding.remedies:
            yield f"Preview the fix, then apply it: sudo why502 fix {finding.cause}"
        else:
            yield f"Read about the cause: why502 explain {finding.cause}"
    elif finding is not None and not incident.is_fixed:
        yield f"No known change removed the cause, so it may return. why502 explain {finding.cause}"
    if has_bundle:
        yield f"Save the evidence of its first seconds: why502 incidents show {incident.id} --bundle FILE"
        yield "Repeat the diagnosis with it, on any machine: why502 diagnose --bundle FILE"
