"""The diagnosis as Markdown, for an incident ticket."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

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


def _plain(text: str) -> str:
    """Return text escaped so that no part of it is read as Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", safe(text))


def _code(text: str) -> str:
    """Return text as inline code, even if it contains backticks (CommonMark 6.1)."""
    text = safe(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    first, *others = headlines(diagnosis)
    yield f"# {diagnosis.verdict.value.upper()}: {_plain(first)}"
    for also in others:
        yield ""
        yield f"Also: {_plain(also)}"
    yield ""
    yield (
        f"Window {clock(diagnosis.since)} to {clock(diagnosis.until)}, {diagnosis.requests} requests, {diagnosis.failures} "
        "failures."
    )
    for finding in asserted(diagnosis):
        yield ""
        yield from _finding(finding)
    if light := considered(diagnosis):
        yield ""
        yield "Also considered: " + ", ".join(f"{finding.cause} ({finding.confidence:.0%})" for finding in light) + "."
    yield ""
    yield "| check | result | detail |"
    yield "| --- | --- | --- |"
    for check in diagnosis.checks:
        yield f"| {_plain(check.title)} | {check.status.value} | {_plain(check.detail)} |"
    for gap in diagnosis.gaps:
        yield ""
        yield f"Not checked: {_plain(gap.source)}: {_plain(gap.reason)}" + (f" ({_plain(gap.hint)})" if gap.hint else "")


def _finding(finding: Finding) -> Iterator[str]:
    target = f" on {_code(str(finding.target))}" if finding.target else ""
    yield f"## {finding.cause}{target}, {finding.confidence:.0%} confidence, fault: {FAULT_DOMAINS[finding.layer]}"
    yield ""
    yield f"- {_plain(how_often(finding))}"
    if place := where(finding):
        yield f"- {_plain(place)}"
    for item in finding.evidence:
        yield f"- {item.weight:+.1f} {_plain(item.message)}" + (f" ({_code(item.source)})" if item.source else "")
    for remedy in finding.remedies:
        yield ""
        yield f"Fix: {_plain(remedy.message)}"
        for step in remedy.steps:
            yield ""
            yield "```diff" if isinstance(step, Edit) else "```sh"
            text = diff_lines(step) if isinstance(step, Edit) else [safe(shlex.join(step.argv))]
            yield from (line.replace("```", "'''") for line in text)
            yield "```"
