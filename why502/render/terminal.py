"""The diagnosis for a person at a terminal: the answer first, then why, what to do, and what was looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from why502.model.finding import CheckStatus, Diagnosis, Finding
from why502.model.remedy import Edit, Remedy
from why502.render.words import SIDES, Terminal, asserted, clock, considered, how_often, safe, sentence, where

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


def render(diagnosis: Diagnosis, terminal: Terminal) -> str:
    """Return the report as lines of text; coloured where the terminal is."""
    return "\n".join(_lines(diagnosis, terminal)) + "\n"


def _lines(diagnosis: Diagnosis, terminal: Terminal) -> Iterator[str]:
    verdict = diagnosis.verdict.value
    yield from _wrapped(f"{paint(verdict.upper(), verdict, terminal)}: ", safe(sentence(diagnosis)), terminal, "  ")
    if terminal.is_quiet:
        return
    for number, finding in enumerate(asserted(diagnosis), start=1):
        yield ""
        yield from _finding(number, finding, terminal)
    others = considered(diagnosis)
    if others:
        yield ""
        yield paint("Also considered", "bold", terminal)
        for finding in others if terminal.is_verbose else others[:4]:
            against = min(finding.evidence, key=lambda item: item.weight)
            why = f": {against.says}" if against.weight < 0 else ""
            yield from _wrapped(
                "  ", safe(f"{finding.cause} {finding.target or ''} ({finding.confidence:.0%}){why}"), terminal, "    "
            )
    yield ""
    yield paint("Checked", "bold", terminal)
    for check in diagnosis.checks:
        sign = paint(_SIGNS[check.status], check.status.value, terminal)
        detail = f": {safe(check.detail)}" if check.detail else ""
        yield from _wrapped(f"  {sign} ", f"{check.says}{detail}", terminal, "       ")
    if diagnosis.gaps:
        yield ""
        yield paint("Not looked at", "bold", terminal)
        for gap in diagnosis.gaps:
            allow = f" ({gap.allow})" if gap.allow else ""
            yield from _wrapped("  ", safe(f"{gap.source}: {gap.why}{allow}"), terminal, "    ")
    yield ""
    window = f"{clock(diagnosis.since)} to {clock(diagnosis.until)}" if diagnosis.since else "all"
    yield paint(f"Window: {window}, {diagnosis.requests} requests, {diagnosis.failures} failures", "dim", terminal)


def _finding(number: int, finding: Finding, terminal: Terminal) -> Iterator[str]:
    head = f"{number}. {finding.cause}"
    yield f"{paint(head, 'bold', terminal)} ({finding.confidence:.0%} sure), on the side of {SIDES[finding.layer]}"
    yield from _wrapped("   ", safe(how_often(finding)), terminal, "   ")
    if place := where(finding):
        yield from _wrapped("   ", safe(place), terminal, "   ")
    yield "   Evidence"
    for item in finding.evidence if terminal.is_verbose else finding.evidence[:6]:
        seen = f"  [{safe(item.seen_in)}]" if item.seen_in else ""
        yield from _wrapped(
            f"   {item.weight:+5.1f}  ", f"{safe(item.says)}{paint(seen, 'dim', terminal)}", terminal, "          "
        )
    for remedy in finding.remedies:
        yield from _remedy(remedy, terminal)


def _remedy(remedy: Remedy, terminal: Terminal) -> Iterator[str]:
    yield from _wrapped("   Fix: ", safe(remedy.says), terminal, "        ")
    for step in remedy.steps:
        if isinstance(step, Edit):
            for line in step.diff.splitlines():
                yield "     " + paint(safe(line), line[:1], terminal)
        else:
            yield "     $ " + safe(" ".join(_quoted(word) for word in step.argv))


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def paint(text: str, color: str, terminal: Terminal) -> str:
    """Return text in a colour where the terminal has colours."""
    code = _COLORS.get(color)
    return f"\x1b[{code}m{text}\x1b[0m" if terminal.is_colored and code and text else text


def _wrapped(first: str, text: str, terminal: Terminal, rest: str) -> Iterator[str]:
    """Yield text wrapped to the terminal's width; long words (paths) stay whole."""
    lines = textwrap.wrap(text, width=max(40, terminal.width - len(rest)), break_long_words=False, break_on_hyphens=False) or [""]
    yield first + lines[0]
    for line in lines[1:]:
        yield rest + line
