"""The draft of a post-mortem, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.render.markdown import code, fenced, finding_lines, plain
from why502.render.words import FAULT_DOMAINS, clock, diff_lines, safe
from why502.watch.message import duration, tested
from why502.watch.model import Incident, Step
from why502.watch.report import story


def render(incident: Incident, now: datetime, *, has_bundle: bool) -> str:
    """Return the draft: facts, summary, cause with evidence, changes before, timeline, and what a person adds."""
    return "\n".join(_lines(incident, now, has_bundle=has_bundle)) + "\n"


def _lines(incident: Incident, now: datetime, *, has_bundle: bool) -> Iterator[str]:
    yield f"# Post-mortem (draft): {plain(story.headline(incident))}"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for name, value in _facts(incident, now):
        yield f"| {name} | {value} |"
    yield ""
    yield "## Summary"
    yield ""
    yield f"{plain(story.headline(incident))} {plain(story.counts(incident))}."
    if incident.closing:
        yield ""
        yield f"It ended: {plain(incident.closing)}."
    yield ""
    if incident.finding is not None:
        yield from finding_lines(incident.finding)
    else:
        reason = next((one.reason for one in reversed(incident.diagnosed) if one.reason), "not established")
        yield "## Cause not known"
        yield ""
        yield plain(reason)
    yield from _proposal(incident)
    if incident.changes:
        yield from _steps("What changed before", story.changes(incident))
    yield from _steps("Timeline", story.timeline(incident))
    yield ""
    yield "## Follow-up"
    yield ""
    for sentence in story.advice(incident, has_bundle=has_bundle):
        yield f"- [ ] {plain(sentence)}"
    yield "- [ ] Effect on users and on the business:"
    yield "- [ ] What went well, and what did not:"
    yield "- [ ] What will prevent it, who does it, and by when:"


def _facts(incident: Incident, now: datetime) -> Iterator[tuple[str, str]]:
    yield "Incident", _cell(incident.id)
    yield "Host, proxy", f"{plain(incident.host)}, {plain(incident.proxy)}"
    yield "Began", clock(incident.first_failure_at or incident.opened_at)
    yield "Detected", clock(incident.opened_at)
    yield "Ended", clock(incident.closed_at) or "still open"
    yield "Duration", duration((incident.closed_at or now) - (incident.first_failure_at or incident.opened_at))
    yield "Failures", plain(story.counts(incident))
    if incident.target:
        yield "Target", _cell(incident.target)
    if incident.locations:
        yield "Locations", ", ".join(map(_cell, incident.locations))
    yield "Cause", _cell(incident.cause) if incident.cause else "not known"
    yield "Fault domain", FAULT_DOMAINS[incident.fault_domain] if incident.cause else "not known"


def _cell(text: str) -> str:
    """Return text as code in a table, where a bar would end the cell even within code."""
    return code(text).replace("|", "\\|")


def _proposal(incident: Incident) -> Iterator[str]:
    if incident.proposal is None:
        return
    if own := story.own_proposal(incident):
        yield ""
        yield f"Fix: {plain(own.summary)}"
        yield from fenced("diff", diff_lines(own.diff))
        yield from fenced("sh", [safe(own.command)] if own.command else [])
    if verdict := tested(incident.proposal):
        yield ""
        yield plain(verdict)


def _steps(title: str, steps: tuple[Step, ...]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield "| time | event |"
    yield "| --- | --- |"
    for step in steps:
        yield f"| {clock(step.at)} | {plain(step.message)} |"
