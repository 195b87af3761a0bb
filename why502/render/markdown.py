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
    diff_lines,
    headlines,
    how_often,
    safe,
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
        f"Window {clock(diagnosis.since)} to {clock(diagnosis.until)}, {diagnosis.requests} requests, {diagnosis.failures} "
        "failures."
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
    for gap in diagnosis.gaps:
        yield ""
        yield f"Not checked: {plain(gap.source)}: {plain(gap.reason)}" + (f" ({plain(gap.hint)})" if gap.hint else "")


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield one finding as a section: cause, confidence, fault domain, place, evidence and fix."""
    target = f" on {code(str(finding.target))}" if finding.target else ""
    yield f"## {finding.cause}{target}, {finding.confidence:.0%} confidence, fault: {FAULT_DOMAINS[finding.layer]}"
    yield ""
    yield f"- {plain(how_often(finding))}"
    if place := where(finding):
        yield f"- {plain(place)}"
    for item in finding.evidence:
        yield f"- {item.weight:+.1f} {plain(item.message)}" + (f" ({code(item.source)})" if item.source else "")
    for remedy in finding.remedies:
        yield ""
        yield f"Fix: {plain(remedy.message)}"
        for step in remedy.steps:
            if isinstance(step, Edit):
                yield from fenced("diff", diff_lines(step.diff))
            else:
                yield from fenced("sh", [safe(shlex.join(step.argv))])


def fenced(language: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, which are safe already, as a block of code; nothing if there are none."""
    if shown := [line.replace("```", "'''") for line in lines]:
        yield from ("", f"```{language}", *shown, "```")
