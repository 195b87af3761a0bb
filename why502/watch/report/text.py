"""Incidents for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from why502.render.terminal import finding_lines, paint, wrapped
from why502.render.words import Terminal, clock, diff_lines, safe
from why502.watch.message import duration, place, tested
from why502.watch.model import Incident, Proposal
from why502.watch.report import story

_TITLES = ("ID", "OPENED", "DURATION", "FAILURES", "CAUSE", "FAULT", "WHERE")


def listing(incidents: Sequence[Incident], now: datetime, terminal: Terminal) -> str:
    """Return a table, one incident a line; those that are open are marked."""
    rows = [_row(incident, now) for incident in incidents]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    lines = [(row, "problem" if incident.is_open else "") for row, incident in zip(rows, incidents, strict=True)]
    if not terminal.is_quiet:
        lines.insert(0, (_TITLES, "bold"))
    return "".join(
        paint("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), color, terminal) + "\n"
        for row, color in lines
    )


def _row(incident: Incident, now: datetime) -> tuple[str, str, str, str, str, str, str]:
    lasted = duration((incident.closed_at or now) - incident.opened_at)
    return (
        safe(incident.id),
        clock(incident.opened_at),
        f"{lasted}, open" if incident.is_open else lasted,
        str(incident.failures),
        safe(incident.cause or f"unknown ({incident.symptom})"),
        incident.fault_domain.value if incident.cause else "unknown",
        safe(incident.target or place(incident)),
    )


def page(incident: Incident, now: datetime, terminal: Terminal, *, has_bundle: bool) -> str:
    """Return everything about one incident: the sentence, the finding, the changes before, the timeline, what to do."""
    return "\n".join(_lines(incident, now, terminal, has_bundle=has_bundle)) + "\n"


def _lines(incident: Incident, now: datetime, terminal: Terminal, *, has_bundle: bool) -> Iterator[str]:
    color = "problem" if incident.is_open else "healthy"
    word = "OPEN: " if incident.is_open else "RESOLVED: "
    yield from wrapped(word, story.headline(incident), terminal, "  ", color=color)
    if terminal.is_quiet:
        return
    yield ""
    about = f"{incident.host}, {incident.proxy}, {incident.severity.value}; opened at {clock(incident.opened_at)}"
    yield from wrapped(f"Incident {safe(incident.id)}  ", f"{about}, {story.state(incident, now)}", terminal, "  ", color="bold")
    yield from wrapped("  ", story.counts(incident), terminal, "  ")
    if incident.closing:
        yield from wrapped("  Ended: ", incident.closing, terminal, "    ")
    if incident.unlike_check:
        yield from wrapped("  ", incident.unlike_check, terminal, "  ")
    if incident.earlier:
        yield from wrapped("  Seen before: ", f"incident {incident.earlier}", terminal, "    ")
    yield ""
    yield from _finding(incident, terminal)
    if incident.changes:
        yield ""
        yield paint("Changed before", "bold", terminal)
        for step in story.changes(incident):
            yield from wrapped(f"  {clock(step.at)}  ", step.message, terminal, " " * 24)
    if steps := story.timeline(incident):
        yield ""
        yield paint("Timeline", "bold", terminal)
        for step in steps:
            yield from wrapped(f"  {clock(step.at)}  ", step.message, terminal, " " * 24)
    if todo := list(story.advice(incident, has_bundle=has_bundle)):
        yield ""
        yield paint("What to do", "bold", terminal)
        for sentence in todo:
            yield from wrapped("  ", sentence, terminal, "    ")


def _finding(incident: Incident, terminal: Terminal) -> Iterator[str]:
    if incident.finding is not None:
        yield from finding_lines(1, incident.finding, terminal)
    else:
        reason = next((one.reason for one in reversed(incident.diagnosed) if one.reason), "not established yet")
        yield from wrapped("Cause not known: ", reason, terminal, "  ", color="unknown")
    if proposal := incident.proposal:
        yield from _proposal(proposal, terminal, is_shown=story.own_proposal(incident) is None)


def _proposal(proposal: Proposal, terminal: Terminal, *, is_shown: bool) -> Iterator[str]:
    """Yield the fix, or only what its test said if the finding shows the fix."""
    if not is_shown:
        yield from wrapped("   Fix: ", proposal.summary, terminal, "        ")
        for line in diff_lines(proposal.diff):
            yield "     " + paint(line, line[:1], terminal)
        if proposal.command:
            yield f"     $ {safe(proposal.command)}"
    if verdict := tested(proposal):
        yield from wrapped("   ", verdict, terminal, "   ")
