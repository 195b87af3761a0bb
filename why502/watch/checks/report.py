"""The results of one round, as a table for people and as JSON (why502.check/1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from why502.model.base import encode
from why502.model.logs import Symptom
from why502.model.snapshot import Gap
from why502.model.words import words
from why502.render.words import clock, printable, safe
from why502.version import __version__
from why502.watch.checks.verdict import verdict_of
from why502.watch.model import CheckResult, MemberStatus, Phase

SCHEMA = "why502.check/1"
HEADS = ("PROXY", "GROUP", "MEMBER", "RESULT", "CODE", "STATUS", "CONNECT", "TLS", "FIRST BYTE", "CERTIFICATE ENDS")
RESULTS: dict[MemberStatus, Literal["pass", "fail", "unknown"]] = {
    MemberStatus.UP: "pass",
    MemberStatus.DOWN: "fail",
    MemberStatus.UNKNOWN: "unknown",
}


class MemberReport(msgspec.Struct, frozen=True, kw_only=True):
    """The check of one member. `code`: HAProxy's name for the result. Times are seconds."""

    proxy: str
    group: str | None
    target: str
    result: Literal["pass", "fail", "unknown"]
    symptom: Symptom | None
    message: str
    code: str
    status: int | None
    phases_s: dict[Phase, float]
    certificate_ends_at: datetime | None
    at: datetime


class GapReport(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be looked at."""

    source: str
    reason: str
    hint: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One round of checks."""

    schema: str = SCHEMA
    why502: str = __version__
    taken_at: datetime
    members: tuple[MemberReport, ...]
    gaps: tuple[GapReport, ...]


def report_of(results: Iterable[CheckResult], gaps: Iterable[Gap], taken_at: datetime) -> Report:
    """Return the report of one round."""
    gap_reports = tuple(GapReport(source=gap.source, reason=printable(gap.reason), hint=printable(gap.hint)) for gap in gaps)
    return Report(taken_at=taken_at, members=tuple(map(_member, results)), gaps=gap_reports)


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return encode(report).decode() + "\n"


def as_lines(report: Report) -> str:
    """Return one JSON object a line, one for each member."""
    return "".join(encode(member).decode() + "\n" for member in report.members)


def as_table(report: Report, *, is_quiet: bool = False) -> str:
    """Return a table of the members, the reasons below it. `is_quiet`: only the members that do not pass."""
    shown = [member for member in report.members if not is_quiet or member.result != RESULTS[MemberStatus.UP]]
    rows = [HEADS, *map(_row, shown)]
    used = [number for number in range(len(HEADS)) if any(row[number] for row in rows[1:])]
    widths = {number: max(len(row[number]) for row in rows) for number in used}
    lines = ["  ".join(row[number].ljust(widths[number]) for number in used).rstrip() for row in rows] if shown else []
    reasons = [f"{safe(member.target)}: {_words(member)}" for member in shown if member.result != RESULTS[MemberStatus.UP]]
    lines += ["", *reasons] if reasons else []
    if not is_quiet:
        counts = {result: sum(member.result == result for member in report.members) for result in RESULTS.values()}
        lines += ["", ", ".join(f"{count} {result}" for result, count in counts.items() if count)]
        lines += [f"not checked: {safe(gap.reason)}{f' ({safe(gap.hint)})' if gap.hint else ''}" for gap in report.gaps]
    return "".join(f"{line}\n" for line in lines)


def _member(result: CheckResult) -> MemberReport:
    return MemberReport(
        proxy=result.proxy,
        group=printable(result.group) or None,
        target=printable(str(result.peer)),
        result=RESULTS[verdict_of(result)],
        symptom=result.symptom,
        message=printable(result.reason),
        code=result.haproxy_code,
        status=result.status,
        phases_s=result.phases_s,
        certificate_ends_at=result.certificate_ends_at,
        at=result.at,
    )


def _row(member: MemberReport) -> tuple[str, ...]:
    phases = (member.phases_s.get(phase) for phase in (Phase.CONNECT, Phase.TLS, Phase.FIRST_BYTE))
    return (
        safe(member.proxy),
        safe(member.group or ""),
        safe(member.target),
        member.result,
        member.code,
        "" if member.status is None else f"{member.status:03d}",
        *("" if took_s is None else f"{took_s * 1000:.1f} ms" for took_s in phases),
        clock(member.certificate_ends_at),
    )


def _words(member: MemberReport) -> str:
    """Return what is wrong: the symptom in words, and what was seen."""
    symptom = words(member.symptom) if member.symptom else ""
    detail = safe(member.message)
    if detail.lower() == symptom:
        return symptom
    return f"{symptom} ({detail})" if symptom and detail else symptom or detail
