"""Code shared by all outputs: safe text, times, and the texts for fault domains and statuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from why502.model.base import Value
from why502.model.finding import ASSERTED, SERVED, CheckStatus, Diagnosis, Finding, Layer
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.snapshot import Gap
from why502.redaction import in_place, redact

# C0 and C1 controls, DEL, and characters that change direction or hide text (Unicode bidi, zero-width, line separators).
_UNSAFE = lazy("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

FAULT_DOMAINS = {
    Layer.UPSTREAM: "backend application",
    Layer.PROXY: "proxy configuration or limits",
    Layer.NETWORK: "network between proxy and backend",
    Layer.PLATFORM: "platform (host, kernel, security modules)",
    Layer.CLIENT: "client",
    Layer.NONE: "none",
}


class Terminal(Value, frozen=True, kw_only=True):
    """The output device. `width` in columns."""

    width: int = 100
    is_colored: bool = False
    is_verbose: bool = False
    is_quiet: bool = False


def safe(text: str) -> str:
    """Return text without secrets that cannot control a terminal: control characters become `\\xNN`; tabs and line feeds
    spaces.
    """
    return _UNSAFE.sub(_escaped, redact(text).replace("\n", " ").replace("\t", " "))


def printable(text: str) -> str:
    """Return text without secrets that can be encoded as UTF-8: single surrogates (bytes that are not UTF-8) become `\\xNN`."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


def diff_lines(diff: str) -> list[str]:
    """Return the lines of a change's diff, safe; secrets around the change are masked."""
    return [safe(line) for line in in_place(diff).splitlines()]


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def asserted(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Return the asserted findings, best first."""
    return tuple(finding for finding in diagnosis.findings if finding.confidence >= ASSERTED)


def considered(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Return the findings that were considered but not asserted."""
    return tuple(finding for finding in diagnosis.findings if finding.confidence < ASSERTED)


def clock(at: datetime | None) -> str:
    """Return a time of day in UTC, "" if unknown."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else ""


def span(first: datetime, last: datetime) -> str:
    """Return a time, or two times without repeating the part they share."""
    if first == last:
        return f"at {clock(first)}"
    return f"from {clock(first)} to {f'{last:%H:%M:%S}Z' if first.date() == last.date() else clock(last)}"


def headlines(diagnosis: Diagnosis) -> list[str]:
    """Return the answer in one sentence, and one sentence for each further asserted finding.

    Ongoing failures come before resolved ones. Nothing is said twice.
    """
    unwell = [check.detail for check in diagnosis.checks if check.id == SERVED]
    findings = asserted(diagnosis)
    if diagnosis.verdict == "healthy":
        return [_unasserted(diagnosis), *(f"no client notices it, but {sentence(one)}" for one in findings)]
    leads = 1 if findings and findings[0].ongoing else 0
    unwell = [detail for detail in unwell if not any(detail in finding.message for finding in findings)]
    unsaid = [
        [sentence(one) for one in part if one.message not in "; ".join(unwell)] for part in (findings[:leads], findings[leads:])
    ]
    return list(dict.fromkeys((*unsaid[0], *unwell, *unsaid[1]))) or [_unasserted(diagnosis)]


def _unasserted(diagnosis: Diagnosis) -> str:
    """Return the answer in one sentence if nothing is asserted."""
    if diagnosis.verdict == "healthy":
        asked = f"{diagnosis.requests} requests, no" if diagnosis.requests else "no"
        return f"{asked} gateway failures in the window, and every check passes"
    serves = next((check.detail for check in diagnosis.checks if check.id == "proxy-runs" and check.status == "pass"), "")
    if " is not needed" in serves and not diagnosis.failures:
        return f"no failures seen, but the gateway that serves here is not covered: {serves}; give its logs with --log"
    missing = f"; {len(diagnosis.gaps)} things could not be checked, see below" if diagnosis.gaps else ""
    if diagnosis.failures:
        failures = "1 failure" if diagnosis.failures == 1 else f"{diagnosis.failures} failures"
        return f"{failures}, and the evidence is inconclusive{missing}"
    if failed := next((check for check in diagnosis.checks if check.status == "fail"), None):
        return f"a check fails ({failed.title}: {failed.detail}), and the evidence is inconclusive{missing}"
    if warned := next((check for check in diagnosis.checks if check.status == "warn"), None):
        return f"no gateway failures in the window, but a check warns ({warned.title}: {warned.detail})"
    return f"not enough data to tell{missing}"


def sentence(finding: Finding) -> str:
    """Return a finding in one sentence, marked as resolved if it is."""
    if finding.ongoing:
        return finding.message
    return f"{finding.message} (resolved{f'; last seen {clock(finding.last_seen)}' if finding.last_seen else ''})"


def how_often(finding: Finding) -> str:
    """Return how often, with which statuses and when a finding occurred, and whether it is ongoing."""
    statuses = "/".join(f"{status:03d}" for status in finding.statuses)
    if not finding.failures:
        return (
            "no gateway failures in the window, but the condition is present now"
            if finding.ongoing
            else "no gateway failures in the window"
        )
    times = f" {span(finding.first_seen, finding.last_seen)}" if finding.first_seen and finding.last_seen else ""
    # A response that breaks off has a good status: "failed with 200" would be read as a mistake.
    shown = f" with {statuses}" if any(status >= 400 or not status for status in finding.statuses) else f" (status {statuses})"
    # Without a status it may be a health check that failed, not a request.
    requests = f"{counted(finding.failures, 'request')} failed{shown}" if statuses else counted(finding.failures, "failure")
    return f"{requests}{times}; {'ongoing' if finding.ongoing else 'resolved'}"


def counted(count: int, noun: str) -> str:
    """Return a count and its noun: "1 request", "2 requests"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def labelled(finding: Finding) -> Iterator[tuple[str, Remedy]]:
    """Yield each remedy of a finding with the word before it, which separates steps, their alternatives, and advice."""
    has_steps = False
    for number, remedy in enumerate(finding.remedies):
        if remedy.steps:
            yield "Or" if has_steps else "Fix", remedy
            has_steps = True
        else:
            yield "Also" if number else "What to do", remedy


def unchecked(diagnosis: Diagnosis) -> tuple[Gap, ...]:
    """Return the gaps without those that a skipped check already shows; several gaps with one reason stay."""
    skipped = {check.detail for check in diagnosis.checks if check.status is CheckStatus.SKIP}
    reasons = Counter(gap.reason for gap in diagnosis.gaps)
    return tuple(
        gap
        for gap in diagnosis.gaps
        if reasons[gap.reason] > 1 or (f"{gap.reason}; {gap.hint}" if gap.hint else gap.reason) not in skipped
    )


def where(finding: Finding) -> str:
    """Return the route of a finding: server, location, file and line."""
    place = finding.place
    if place is None:
        return ""
    at = f" ({place.at})" if place.at and place.at.file else ""
    return f"server {place.server or '_'}, location {place.location or '(server)'}{at}"
