"""Lint findings for a terminal: file, line, problem and fix, the most severe first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from why502.linter.report import Report
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit
from why502.render.words import Terminal, safe

MOST_LINES = 20  # listed of one finding; the other formats have every place
_COLORS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "36"}


def render(report: Report, terminal: Terminal) -> str:
    """Return a line for each finding, with the advice and its other lines in that file below it, and a total."""
    return "\n".join(_lines(report, terminal)) + "\n"


def _lines(report: Report, terminal: Terminal) -> Iterator[str]:
    if not terminal.is_quiet:
        for risk, *others in _by_message(report.risks):
            yield from _risk(risk, [each.at.line for each in others if each.at], report, terminal)
        for gap in report.gaps:
            yield safe(f"not checked: {report.name(gap.source)}: {gap.reason}" + (f" ({gap.hint})" if gap.hint else ""))
    yield _sum(report)


def _by_message(risks: Iterable[Risk]) -> Iterable[list[Risk]]:
    """Return the findings of which only the line differs together, in the order of the first of each."""
    found: dict[tuple[object, ...], list[Risk]] = {}
    for risk in risks:
        advice = tuple(remedy.message for remedy in risk.remedies)
        found.setdefault((risk.at and risk.at.file, risk.rule, risk.severity, risk.message, advice), []).append(risk)
    return found.values()


def _risk(risk: Risk, others: Sequence[int], report: Report, terminal: Terminal) -> Iterator[str]:
    severity = risk.severity or Severity.NOTE
    word = f"\x1b[{_COLORS[severity]}m{severity.value}\x1b[0m" if terminal.is_colored else severity.value
    where = f"{report.name(risk.at.file)}:{risk.at.line}:{risk.at.column}: " if risk.at else ""
    yield f"{safe(where)}{word} {risk.rule} {safe(risk.message)} [{report.rule(risk.rule).name}]"
    for remedy in risk.remedies:
        mark = " (--fix)" if remedy.safe and any(isinstance(step, Edit) for step in remedy.steps) else ""
        yield from textwrap.wrap(
            safe(remedy.message) + mark,
            terminal.width,
            initial_indent="    -> ",
            subsequent_indent="       ",
            break_long_words=False,
        )
    if others:
        lines = ", ".join(map(str, others[:MOST_LINES]))
        more = f" and {len(others) - MOST_LINES} more" if len(others) > MOST_LINES else ""
        yield from textwrap.wrap(
            f"the same in line{'s' if len(others) > 1 else ''} {lines}{more}",
            terminal.width,
            initial_indent="    ",
            subsequent_indent="    ",
        )
    if terminal.is_verbose:
        leads = f"leads to {risk.cause}. " if risk.cause not in ("", "unknown") else ""
        yield from textwrap.wrap(
            leads + report.rule(risk.rule).reason,
            terminal.width,
            initial_indent="    ",
            subsequent_indent="    ",
        )


def _sum(report: Report) -> str:
    counts = [(report.count(severity), severity.value) for severity in Severity]
    found = ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count) or "no findings"
    files = f"{report.files} file{'s' if report.files != 1 else ''}"
    held = [
        f"{count} {word}"
        for count, word in ((report.suppressed, "ignored by a comment"), (report.known, "in the baseline"))
        if count
    ]
    version = f" for nginx {report.nginx_version}" if report.nginx_version else " for the newest nginx"
    return f"{found} in {files}{version if report.checks_nginx else ''}" + (f"; {', '.join(held)}" if held else "")
