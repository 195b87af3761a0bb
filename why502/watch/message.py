"""The text of a message: what clients get and why, the evidence, the fix, and what changed before. For a phone, at 3 a.m.

Every string in it is free of secrets, of control characters and of what chat services read as a mention, and is cut.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from why502.model.finding import Evidence, Finding
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Edit, Run
from why502.model.words import words
from why502.redaction import in_place
from why502.render.words import FAULT_DOMAINS, clock, safe, where
from why502.watch.model import Change, ChangeKind, Diagnosed, Incident, Proposal, Transition
from why502.watch.notify.base import Notice

_TITLE = 150  # characters; Slack's longest header
_SENTENCE = 500
_CODE_LINE = 200
_EVIDENCE = 5
_CHANGES = 5
_STEPS = 4
_PLACES = 8
_DIFF_LINES = 40
_DIFF = 64 << 10  # characters that are looked at
GAVE_UP = 499  # nginx's status for a client that closed the connection first
BAD_REQUEST = 400  # the first status of an error
_SYMPTOMS = frozenset(symptom.value for symptom in Symptom)
_MENTION = lazy(r"<(?=[!@#])|@(?=(?:channel|here|everyone|all)\b)")


@dataclass(slots=True, frozen=True)
class Part:
    """A part of a text. `is_code`: its lines are shown as they are."""

    heading: str
    lines: tuple[str, ...]
    is_code: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Text:
    """A message: a title in one line, paragraphs, and parts under headings. `link`: the page of the incident, "" if none."""

    title: str
    paragraphs: tuple[str, ...]
    parts: tuple[Part, ...]
    link: str = ""
    key: str = ""


def harmless(text: str, longest: int = _SENTENCE) -> str:
    """Return text in one line without secrets, control characters and mentions, cut to a number of characters."""
    text = safe(text[: 4 * longest])
    text = _MENTION.sub(lambda match: "‹" if match[0] == "<" else "(at)", text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def text(notice: Notice) -> Text:
    """Return the message for a notice."""
    incident = notice.incident
    is_over = notice.transition is Transition.RESOLVED
    parts = [
        *_evidence(incident),
        *([] if is_over else _fix(incident)),
        *_changes(incident),
        *_history(notice),
        *([] if is_over else _commands(incident)),
    ]
    return Text(
        title=harmless(_title(notice), _TITLE),
        paragraphs=tuple(harmless(paragraph) for paragraph in _paragraphs(notice)),
        parts=tuple(parts),
        link=notice.link,
        key=harmless(notice.key, 100),
    )


def _title(notice: Notice) -> str:
    incident = notice.incident
    states = {Transition.OPENED: incident.severity.value.upper()}
    state = "TEST" if notice.is_test else states.get(notice.transition, notice.transition.value.upper())
    if not _is_of_requests(incident):
        return f"{state} {incident.host}: {lead(incident)}"
    statuses = "/".join(str(status) for status in incident.finding.statuses[:3] if status) if incident.finding else ""
    failing = f"check of {incident.target}" if _is_of_check(incident) else place(incident)
    fails = f"{statuses} from {place(incident)}" if statuses else f"{failing} fails"
    return f"{state} {incident.host}: {fails}, {incident.cause or 'cause not established'}"


def place(incident: Incident) -> str:
    """Return where clients get failures: the location, or how many there are, or else the proxy."""
    others = [one for one in incident.locations if one != incident.location]
    if incident.location:
        return f"{incident.location} and {_many(len(others), 'other location')}" if others else incident.location
    if len(others) == 1:
        return others[0]
    return _many(len(others), "location") if others else incident.proxy


def _get(finding: Finding) -> str:
    """Return what clients do with what they get: "get 502", "give up (499)"."""
    statuses = finding.statuses[:3]
    listed = "/".join(f"{status:03d}" for status in statuses)
    if not any(statuses):
        return "get no response"
    if statuses == (GAVE_UP,):
        return f"give up ({listed})"
    if max(statuses) < BAD_REQUEST:
        return f"get broken responses ({listed})"
    return f"get {listed}"


def _paragraphs(notice: Notice) -> Iterator[str]:
    incident = notice.incident
    if notice.is_test:
        yield "This is a test message of why502 watch. Nothing has failed. A real message looks like this:"
    yield from _news(notice)
    if notice.transition is not Transition.RESOLVED:
        yield lead(incident)
    yield _counts(incident)
    if _is_of_requests(incident):
        yield _cause(incident)
    if incident.unlike_check:
        yield f"The check passes, but requests fail: {_ended(incident.unlike_check)}"
    if len(incident.locations) > 1:
        yield f"Affected: {_listed(incident.locations)}."
    if incident.earlier and notice.is_first:
        yield f"The same failure happened before: incident {incident.earlier}."
    if notice.remark:
        yield notice.remark


def _news(notice: Notice) -> Iterator[str]:
    """Yield what happened since the receiver was told the last time."""
    incident = notice.incident
    match notice.transition:
        case Transition.RESOLVED:
            took = duration(incident.closed_at - incident.opened_at) if incident.closed_at else ""
            yield f"Resolved at {clock(incident.closed_at)}, after {took}: {incident.closing or 'requests succeed again'}."
            if notice.is_first:
                yield "This is the first message about it: it ended before an earlier one could be delivered."
            elif Transition.REOPENED in notice.transitions:
                yield "It had come back since the last message."
            yield f"It was: {lead(incident)}"
        case Transition.REOPENED:
            times = f" It came back {_many(incident.times_reopened, 'time')} so far." if incident.times_reopened > 1 else ""
            yield f"The failure is back.{times}"
        case Transition.UPDATED:
            if changed := _changed_cause(incident.diagnosed):
                yield changed
        case Transition.OPENED:
            pass


def _changed_cause(diagnosed: tuple[Diagnosed, ...]) -> str:
    found = [one.finding.cause for one in diagnosed if one.finding]
    if len(found) > 1 and found[-1] != found[-2]:
        return f"The cause is now {found[-1]}; before, it was {found[-2]}."
    return f"The cause is now established: {found[-1]}." if len(found) == 1 and len(diagnosed) > 1 else ""


def lead(incident: Incident) -> str:
    """Return what clients get and why, in one sentence."""
    finding = incident.finding
    if finding:
        gets = f"Clients of {place(incident)} {_get(finding)}" if finding.statuses else f"Requests to {place(incident)} fail"
        return f"{gets}: {_ended(finding.message)}"
    if not _is_of_requests(incident):
        return _observation(incident)
    reason = next((one.reason for one in reversed(incident.diagnosed) if one.reason), "")
    seen = _symptom(incident.symptom)
    if _is_of_check(incident):
        return f"The check of {incident.target} fails: {seen}. No request has failed because of it yet."
    if not incident.failures and incident.recovered:
        return f"Attempts to reach {incident.target or place(incident)} fail, and retries recover them: {seen}."
    unknown = f"The cause is not established{f': {reason}' if reason else ' yet'}."
    return f"Requests to {place(incident)} fail: {seen}. {unknown}"


def _is_of_check(incident: Incident) -> bool:
    """Return whether only a check failed so far."""
    return bool(incident.target) and not incident.failures and not incident.recovered


def _is_of_requests(incident: Incident) -> bool:
    """Return whether requests or checks failed; else it is about a log or an objective, and no target is called down."""
    return bool(incident.failures or incident.recovered or incident.finding) or incident.symptom in _SYMPTOMS


def _observation(incident: Incident) -> str:
    """Return what was seen last, before the end if it ended."""
    until = incident.closed_at
    seen = [step.message for step in incident.timeline if until is None or step.at < until]
    return _ended(seen[-1]) if seen else _ended(_symptom(incident.symptom))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "…", "?", "!")) else f"{sentence}."


def _symptom(symptom: str) -> str:
    try:
        return words(Symptom(symptom))
    except ValueError:
        return symptom.replace("-", " ")


def _counts(incident: Incident) -> str:
    since = incident.first_failure_at or incident.opened_at
    text = f"Since {clock(since)}. "
    if incident.failures:
        failed = (
            f"{incident.failures} of {_many(incident.requests, 'request')}"
            if incident.requests
            else _many(incident.failures, "request")
        )
        last = f", the last one at {clock(incident.last_failure_at)}" if incident.last_failure_at else ""
        text = f"{failed} failed since {clock(since)}{last}. "
    if incident.recovered:
        text += f"A retry recovered {incident.recovered} {'more' if incident.failures else 'failed attempts'}. "
    return f"{text}Host {incident.host}, {incident.proxy}" + (f", target {incident.target}." if incident.target else ".")


def _cause(incident: Incident) -> str:
    newest = next((one for one in reversed(incident.diagnosed) if one.finding), None)
    if newest is None or newest.finding is None:
        return "Cause: not established."
    finding = newest.finding
    at = f"; {where(finding)}" if where(finding) else ""
    return (
        f"Cause: {finding.cause}, {finding.confidence:.0%} confidence at {clock(newest.at)}. "
        f"Fault: {FAULT_DOMAINS[finding.layer]}{at}."
    )


def _evidence(incident: Incident) -> Iterator[Part]:
    finding = incident.finding
    if finding is None or not finding.evidence:
        return
    strongest = sorted(finding.evidence, key=lambda one: -one.weight)
    yield Part("Evidence", _few([_piece(one) for one in strongest], _EVIDENCE))


def _piece(one: Evidence) -> str:
    source = f" ({harmless(one.source, _CODE_LINE)})" if one.source else ""
    return f"{'against it: ' if one.weight < 0 else ''}{harmless(one.message)}{source}"


def _fix(incident: Incident) -> Iterator[Part]:
    proposal = incident.proposal or (_proposal(incident.finding) if incident.finding else None)
    if proposal is None:
        return
    yield Part("Fix", tuple(harmless(line) for line in (proposal.summary, tested(proposal)) if line))
    if proposal.diff:
        yield Part("", diff_lines(proposal.diff), is_code=True)


def diff_lines(diff: str) -> tuple[str, ...]:
    """Return the lines of a diff, harmless and not too many; secrets in it are masked."""
    return _few([harmless(line, _CODE_LINE) for line in in_place(diff[:_DIFF]).splitlines()], _DIFF_LINES)


def tested(proposal: Proposal) -> str:
    """Return in one sentence what the gateway's own test said about a copy with the change; "" if there is nothing to test."""
    if not proposal.diff:
        return ""
    if proposal.is_valid:
        return "The gateway's own test accepts a copy with this change."
    test = f" ({proposal.test})" if proposal.test else ""
    if proposal.is_valid is None:
        return f"This change was not tested{test}."
    return f"Do not apply it unchanged: the gateway's own test rejects a copy with this change{test}."


def _proposal(finding: Finding) -> Proposal | None:
    """Return the first remedy of a finding as a proposal that was not tested."""
    if not finding.remedies:
        return None
    remedy = finding.remedies[0]
    return Proposal(summary=remedy.message, diff="\n".join(step.diff for step in remedy.steps if isinstance(step, Edit)))


def _commands(incident: Incident) -> Iterator[Part]:
    finding = incident.finding
    steps = finding.remedies[0].steps if finding and finding.remedies else ()
    runs = [shlex.join(step.argv) for step in steps if isinstance(step, Run)]
    own = [incident.proposal.command] if incident.proposal and incident.proposal.command else runs
    yield Part("Run", tuple(harmless(line, _CODE_LINE) for line in (*own, f"why502 incidents show {incident.id}")), is_code=True)


_CHANGED = {
    ChangeKind.CONFIG: "configuration changed",
    ChangeKind.RELOAD: "reloaded",
    ChangeKind.UNIT: "unit started",
    ChangeKind.PACKAGE: "package changed",
    ChangeKind.CERTIFICATE: "certificate changed",
    ChangeKind.IMAGE: "image changed",
    ChangeKind.RELEASE: "release changed",
}


def _changes(incident: Incident) -> Iterator[Part]:
    if incident.changes:
        newest_first = sorted(incident.changes, key=lambda one: one.at, reverse=True)
        yield Part("Changed before", _few([_change(one, incident) for one in newest_first], _CHANGES))


def _history(notice: Notice) -> Iterator[Part]:
    """Yield the newest steps; in the first message they are what it says anyhow, unless the failure was here before."""
    incident = notice.incident
    if (not notice.is_first or incident.earlier) and len(incident.timeline) > 1 and _is_of_requests(incident):
        steps = [harmless(f"{clock(step.at)}: {step.message}") for step in incident.timeline[-_STEPS:]]
        yield Part("History", tuple(steps))


def _change(change: Change, incident: Incident) -> str:
    began = incident.first_failure_at or incident.opened_at
    before = f", {duration(began - change.at)} before the first failure" if change.at <= began else ""
    return harmless(f"{clock(change.at)}{before}: {change.subject}, {change.detail or _CHANGED[change.kind]}")


def _few(lines: list[str], most: int) -> tuple[str, ...]:
    more = len(lines) - most
    return (*lines[:most], *([f"… and {more} more"] if more > 0 else []))


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _PLACES
    return ", ".join(harmless(name, 80) for name in names[:_PLACES]) + (f" and {more} more" if more > 0 else "")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def duration(span: timedelta) -> str:
    """Return a duration in words, in the largest unit of which it has at least two."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return _many(seconds, "second")
    if seconds < 120 * 60:
        return _many(seconds // 60, "minute")
    return _many(seconds // 3600, "hour") if seconds < 48 * 3600 else _many(seconds // 86400, "day")


def plain(text: Text) -> str:
    """Return a message as plain text, without its title."""
    lines: list[str] = []
    for paragraph in text.paragraphs:
        lines += [paragraph, ""]
    for part in text.parts:
        if part.heading:
            lines.append(f"{part.heading}:")
        lines += [line if part.is_code else f"- {line}" for line in part.lines]
        lines.append("")
    return "\n".join([*lines, *([text.link] if text.link else []), f"Message {text.key} of why502 watch"]) + "\n"


_STYLE = "font:16px/1.5 system-ui,sans-serif;max-width:46rem;overflow-wrap:anywhere"
_CODE_STYLE = "border:1px solid #ccc;border-radius:6px;padding:.6rem;white-space:pre-wrap;font:14px/1.4 monospace"


def page(text: Text) -> str:
    """Return a message as HTML; all text in it is escaped."""
    parts = [f"<h1 style='font-size:1.2rem'>{html.escape(text.title)}</h1>"]
    parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in text.paragraphs]
    for part in text.parts:
        if part.heading:
            parts.append(f"<p><b>{html.escape(part.heading)}</b></p>")
        escaped = [html.escape(line) for line in part.lines]
        if part.is_code:
            parts.append(f"<pre style='{_CODE_STYLE}'>" + "\n".join(escaped) + "</pre>")
        else:
            parts.append("<ul>" + "".join(f"<li>{line}</li>" for line in escaped) + "</ul>")
    if text.link:
        parts.append(f"<p><a href='{html.escape(text.link)}'>Open the incident</a></p>")
    parts.append(f"<p><small>Message {html.escape(text.key)} of why502 watch</small></p>")
    return f"<!doctype html><html lang='en'><meta charset='utf-8'><body style='{_STYLE}'>" + "\n".join(parts) + "</body></html>\n"
