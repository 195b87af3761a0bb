"""The diagnosis for a terminal: the verdict first, then the evidence, the fix, and the checks."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator

from why502.model.finding import CheckStatus, Diagnosis, Finding
from why502.model.remedy import Edit, Remedy
from why502.render.words import (
    FAULT_DOMAINS,
    Terminal,
    asserted,
    clock,
    considered,
    counted,
    diff_lines,
    headlines,
    how_often,
    labelled,
    safe,
    unchecked,
    where,
)

_COLORS = {
    "problem": "1;31",
    "unknown": "1;33",
    "healthy": "1;32",
    "pass": "32",
    "fail": "31",
    "warn": "33",
    "skip": "2",
    "dim": "2",
    "bold": "1",
    "+": "32",
    "-": "31",
}
_SIGNS = {CheckStatus.PASS: "ok  ", CheckStatus.FAIL: "FAIL", CheckStatus.WARN: "warn", CheckStatus.SKIP: "skip"}
_EVIDENCE = 6  # maximum pieces of evidence shown per finding
_CONSIDERED = 4  # maximum causes shown that were considered but not asserted
_FINDINGS = 10  # maximum findings shown: nobody reads hundreds at a terminal


def render(diagnosis: Diagnosis, terminal: Terminal) -> str:
    """Return the report as lines of text, coloured if the terminal is."""
    return "\n".join(_lines(diagnosis, terminal)) + "\n"


def _lines(diagnosis: Diagnosis, terminal: Terminal) -> Iterator[str]:
    verdict = diagnosis.verdict.value
    first, *others = headlines(diagnosis)
    yield from wrapped(f"{verdict.upper()}: ", first, terminal, "  ", color=verdict)
    found = asserted(diagnosis)
    shown = found if terminal.is_verbose else found[:_FINDINGS]
    for also in others if terminal.is_verbose else others[: _FINDINGS - 1]:
        yield from wrapped("   ALSO: ", also, terminal, "  ", color=verdict)
    if more := len(found) - len(shown):
        yield from wrapped(
            "   ALSO: ", f"{more} more {'findings' if more > 1 else 'finding'}, with --verbose", terminal, "  ", color=verdict
        )
    if terminal.is_quiet:
        return
    for number, finding in enumerate(shown, start=1):
        yield ""
        yield from finding_lines(number, finding, terminal)
    if light := considered(diagnosis):
        yield ""
        yield paint("Also considered", "bold", terminal)
        for finding in light if terminal.is_verbose else light[:_CONSIDERED]:
            yield from wrapped("  ", _dismissed(finding), terminal, "    ")
    yield ""
    yield paint("Checked", "bold", terminal)
    for check in diagnosis.checks:
        detail = f": {check.detail}" if check.detail else ""
        yield from wrapped(f"  {_SIGNS[check.status]} ", f"{check.title}{detail}", terminal, "       ", color=check.status.value)
    if gaps := unchecked(diagnosis):
        yield ""
        yield paint("Not checked", "bold", terminal)
        for gap in gaps:
            yield from wrapped("  ", f"{gap.source}: {gap.reason}" + (f" ({gap.hint})" if gap.hint else ""), terminal, "    ")
    yield ""
    window = f"{clock(diagnosis.since)} to {clock(diagnosis.until)}" if diagnosis.since else "all times"
    counts = f"{window}, {counted(diagnosis.requests, 'request')}, {counted(diagnosis.failures, 'failure')}"
    yield from wrapped("Window: ", counts, terminal, "  ", color="dim")


def finding_lines(number: int, finding: Finding, terminal: Terminal) -> Iterator[str]:
    """Yield the lines of one finding: cause, confidence, fault domain, place, evidence and fix."""
    subject = f" on {finding.subject}" if finding.subject else ""
    confidence = f"{finding.confidence:.0%} confidence, fault: {FAULT_DOMAINS[finding.layer]}"
    yield from wrapped(f"{number}. {finding.cause}", f"{subject}, {confidence}", terminal, "   ", color="bold")
    yield from wrapped("   ", how_often(finding), terminal, "   ")
    if place := where(finding):
        yield from wrapped("   ", place, terminal, "   ")
    yield "   Evidence, by weight"
    shown = finding.evidence if terminal.is_verbose else finding.evidence[:_EVIDENCE]
    for item in shown:
        weight = f"{item.weight:+5.1f}" if item.weight else " " * 5  # without a weight it only explains
        yield from wrapped(f"   {weight}  ", item.message, terminal, "          ", after=item.source)
    if more := len(finding.evidence) - len(shown):
        yield f"          and {more} more, with --verbose"
    for label, remedy in labelled(finding):
        yield from _remedy(label, remedy, terminal)


def _dismissed(finding: Finding) -> str:
    """Return a considered cause with the strongest evidence against it."""
    against = min(finding.evidence, key=lambda item: item.weight)
    reason = f": {against.message}" if against.weight < 0 else ""
    return f"{finding.cause} {f'on {finding.subject} ' if finding.subject else ''}({finding.confidence:.0%}){reason}"


def _remedy(label: str, remedy: Remedy, terminal: Terminal) -> Iterator[str]:
    yield from wrapped(f"   {label}: ", remedy.message, terminal, "        ", color="bold")
    for step in remedy.steps:
        if isinstance(step, Edit):
            for line in diff_lines(step.diff):
                yield "     " + paint(line, line[:1], terminal)
        else:
            yield "     $ " + safe(shlex.join(step.argv))


def paint(text: str, color: str, terminal: Terminal) -> str:
    """Return text in a colour if the terminal has colours."""
    code = _COLORS.get(color)
    return f"\x1b[{code}m{text}\x1b[0m" if terminal.is_colored and code and text else text


def wrapped(first: str, text: str, terminal: Terminal, rest: str, *, color: str = "", after: str = "") -> Iterator[str]:
    """Yield text, made safe and wrapped to the terminal's width; long words (paths) stay whole.

    `first` begins the first line, in `color`; `rest` all others. `after` follows in brackets, dimmed: the source.
    """
    # Not split in wrapping: spaces within are not line breaks.
    note = f"[{safe(after)}]".replace(" ", "\x00") if after else ""
    body = f"{safe(text)}  {note}" if note else safe(text)
    lines = textwrap.wrap(
        body,
        width=terminal.width,
        initial_indent=" " * len(first),
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [" " * len(first)]
    for number, line in enumerate(lines):
        begin = paint(first, color, terminal) if number == 0 else ""
        plain = line[len(first) :] if number == 0 else line
        if note and note in plain:
            head, _, tail = plain.partition(note)
            plain = head + paint(note.replace("\x00", " "), "dim", terminal) + tail
        yield (begin + plain).rstrip()
