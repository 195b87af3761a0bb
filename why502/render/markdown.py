"""The diagnosis as Markdown, for an incident ticket."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from why502.model.finding import Diagnosis, Finding
from why502.model.patterns import lazy
from why502.model.remedy import Edit
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

_SPECIAL = lazy(r"([\\`*_{}\[\]<>#|~&])")


def render(diagnosis: Diagnosis, terminal: Terminal) -> str:
    """Return the report as CommonMark with tables (GitHub's)."""
    return "\n".join(_lines(diagnosis)) + "\n"


def plain(text: str) -> str:
    """Return text escaped so that no part of it is read as Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", safe(text))


def code(text: str) -> str:
    """Return text as inline code, even if it contains backticks (CommonMark 6.1)."""
    text = safe(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    first, *others = headlines(diagnosis)
    yield f"# {diagnosis.verdict.value.upper()}: {plain(first)}"
    for also in others:
        yield ""
        yield f"Also: {plain(also)}"
    yield ""
    yield (
        f"Window {clock(diagnosis.since)} to {clock(diagnosis.until)}, "
        f"{counted(diagnosis.requests, 'request')}, {counted(diagnosis.failures, 'failure')}."
    )
    for finding in asserted(diagnosis):
        yield ""
        yield from finding_lines(finding)
    if light := considered(diagnosis):
        yield ""
        yield "Also considered: " + ", ".join(f"{finding.cause} ({finding.confidence:.0%})" for finding in light) + "."
    yield ""
    yield "| check | result | detail |"
    yield "| --- | --- | --- |"
    for check in diagnosis.checks:
        yield f"| {plain(check.title)} | {check.status.value} | {plain(check.detail)} |"
    for gap in unchecked(diagnosis):
        yield ""
        yield f"Not checked: {plain(gap.source)}: {plain(gap.reason)}" + (f" ({plain(gap.hint)})" if gap.hint else "")


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield one finding as a section: cause, confidence, fault domain, place, evidence and fix."""
    subject = f" on {code(finding.subject)}" if finding.subject else ""
    yield f"## {finding.cause}{subject}, {finding.confidence:.0%} confidence, fault: {FAULT_DOMAINS[finding.layer]}"
    yield ""
    yield f"- {plain(how_often(finding))}"
    if place := where(finding):
        yield f"- {plain(place)}"
    for item in finding.evidence:
        weight = f"{item.weight:+.1f} " if item.weight else ""
        yield f"- {weight}{plain(item.message)}" + (f" ({code(item.source)})" if item.source else "")
    for label, remedy in labelled(finding):
        yield ""
        yield f"{label}: {plain(remedy.message)}"
        for step in remedy.steps:
            if isinstance(step, Edit):
                yield from fenced("diff", diff_lines(step.diff))
            else:
                yield from fenced("sh", [safe(shlex.join(step.argv))])


def fenced(language: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, which are safe already, as a block of code; nothing if there are none."""
    if shown := [line.replace("```", "'''") for line in lines]:
        yield from ("", f"```{language}", *shown, "```")
