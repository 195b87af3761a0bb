"""The usual causes of failed attempts and error-log lines.

Error and access log report the same failure. If the error log names the reason of an attempt, the access log's "failed" for that
request is the same failure. If the lines do not identify the request, "failed" for the same target and minute is taken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.join import Joiner, requests
from why502.logs.scan.breakdown import Seen
from why502.logs.scan.counts import Counts, EqualLines, MessageKey, name_of
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import Outcome, of
from why502.logs.scan.outcome import reasons as outcome_reasons
from why502.logs.scan.report import CauseRow
from why502.model.logs import LogRecord, Symptom


class Meaning(NamedTuple):
    """The usual meaning of a symptom."""

    cause: str = ""
    message: str = ""
    fault_domain: str = ""


_BARE = Symptom.GATEWAY_STATUS.value
Means = Callable[[str, str], Meaning]  # of a symptom, and of the cause named by its line ("" for none)


def reasons(counts: Counts, seen: Seen, means: Means) -> tuple[CauseRow, ...]:
    """Return the reasons: those of failures first, then by frequency."""
    also_logged = _in_error_logs(counts)
    rows = [
        _row(symptom, means(symptom, cause), left, seen.symptom_spans[symptom, cause])
        for (symptom, cause), targets in seen.symptoms.items()
        if (left := targets - also_logged[symptom, cause])
    ]
    messages: dict[tuple[str, str, bool], list[tuple[MessageKey, EqualLines]]] = defaultdict(list)
    for one, equal in counts.messages.items():
        messages[one.symptom, one.cause, one.is_failure].append((one, equal))
    rows += [
        _message_row(symptom, means(symptom, cause), is_failure, every)
        for (symptom, cause, is_failure), every in messages.items()
    ]
    return tuple(sorted(rows, key=lambda row: (not row.is_failure, -row.count, row.symptom, row.source)))


def _in_error_logs(counts: Counts) -> dict[tuple[str, str], Counter[str]]:
    """Return the failed attempts of the access logs that error logs report too: symptom and cause -> target -> count."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    messages: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)  # minute -> symptom and target
    for one, equal in counts.messages.items():
        if one.is_failure:
            for minute, count in equal.minutes.items():
                messages[minute][one.symptom, one.target] += count
    if not messages:
        return found
    joined = _joined(counts, found, messages)
    asked: list[tuple[int, str, str, str, int]] = []  # minute, target, symptom, cause, count
    symptoms = {symptom for by in messages.values() for symptom, _ in by} | {_BARE}
    tried: dict[tuple[Outcome, int], list[tuple[str, Minutes]]] = defaultdict(list)
    for (outcome, number, where), one_try in counts.tries.items():
        tried[outcome, number].append((where, one_try.minutes))
    for outcome, minutes in counts.outcomes.items():
        for place, symptom in outcome_reasons(outcome, counts.fields):
            if symptom in symptoms:
                met = tried.get((outcome, place), []) if place is not None else []
                for where, its in met or [("", minutes)]:
                    for minute, count in its.items():
                        if left := count - joined[minute, where, symptom, outcome.cause]:
                            asked.append((minute, where, symptom, outcome.cause, left))
    asked.sort(key=lambda row: (not row[1], row[2] == _BARE, row))  # the more specific ones first
    for minute, target, symptom, cause, count in asked:
        left = count
        for near in (minute, minute - 1):  # a request that failed at the end of a minute is logged in the next one
            left -= _take(messages[near], target, symptom, left) if near in messages else 0
        found[symptom, cause][target] += count - left
    return found


def _joined(
    counts: Counts, found: dict[tuple[str, str], Counter[str]], messages: dict[int, Counter[tuple[str, str]]]
) -> Counter[tuple[int, str, str, str]]:
    """Join the access and error lines of each request; return the joined failures: minute, target, symptom, cause.

    They are added to `found`, and their error lines are removed from `messages`.
    """
    joined: Counter[tuple[int, str, str, str]] = Counter()
    joiner = Joiner(counts.errors.in_order())
    for request in requests(joiner, counts.failed.in_order()):
        waiting = [(line, joiner.kinds[joiner.errors.shared[line]]) for line in request.errors]
        fails = [(line, one.kind) for line, one in waiting if one.is_failure]
        for line, kind in fails:
            messages[int(joiner.errors.times[line]) // 60][kind.symptom.value, name_of(kind.target, kind.group)] -= 1
        ended = request.ended
        outcome, targets = of(LogRecord(format=NGINX_ACCESS, status=ended.status, attempts=ended.attempts))
        met = {name_of(kind.target, kind.group) for _, kind in fails}
        for number, symptom in outcome_reasons(outcome, counts.fields) if fails and not ended.is_own else ():
            where = targets[number] if number is not None else ""
            if where in met or met == {""} or not where:  # a reason before any attempt explains all of them
                joined[int(request.line.at) // 60, where, symptom, outcome.cause] += 1
                found[symptom, outcome.cause][where] += 1
    return joined


def _take(messages: Counter[tuple[str, str]], target: str, symptom: str, count: int) -> int:
    """Return how many of the failures the error lines of a minute cover, and remove these lines."""
    before = count
    for key in sorted(messages):
        if count and (key[1] == target or not target) and (key[0] == symptom or symptom == _BARE):
            taken = min(messages[key], count)
            messages[key] -= taken
            count -= taken
    return before - count


def _message_row(symptom: str, meaning: Meaning, is_failure: bool, every: list[tuple[MessageKey, EqualLines]]) -> CauseRow:
    targets, minutes = Counter[str](), Minutes()
    for one, equal in every:
        targets[one.target] += equal.minutes.total()
        minutes.update(equal.minutes)
    timed = [minute for minute, _ in minutes.items() if minute >= 0]
    first = min((equal for _, equal in every), key=lambda equal: equal.order)
    row = _row(symptom, meaning, targets, (timed[0], timed[-1]) if timed else None)
    return replace(row, source="error", is_failure=is_failure, place=first.place, text=first.text)


def _row(symptom: str, meaning: Meaning, targets: Counter[str], span: tuple[int, int] | None) -> CauseRow:
    first, last = (datetime.fromtimestamp(60 * minute, UTC) for minute in span) if span else (None, None)
    return CauseRow(
        symptom=symptom,
        cause=meaning.cause,
        message=meaning.message,
        fault_domain=meaning.fault_domain,
        count=targets.total(),
        targets={target: count for target, count in sorted(targets.items(), key=lambda item: (-item[1], item[0])) if target},
        first=first,
        last=last,
    )
