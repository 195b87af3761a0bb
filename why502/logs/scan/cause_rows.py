"""The usual causes of failed attempts and error-log lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from why502.logs.scan.breakdown import Seen
from why502.logs.scan.counts import Counts, Heard, Said
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.report import CauseRow


class Meaning(NamedTuple):
    """What a symptom usually stands for."""

    cause: str = ""
    message: str = ""
    side: str = ""


Means = Callable[[str, str], Meaning]  # of a symptom, and of the cause that its line names ("" for none)


def reasons(counts: Counts, seen: Seen, means: Means) -> tuple[CauseRow, ...]:
    """Return the reasons, those of failures first, the most frequent first."""
    rows = [
        _row(symptom, means(symptom, cause), targets, seen.symptom_spans[symptom, cause])
        for (symptom, cause), targets in seen.symptoms.items()
    ]
    said: dict[tuple[str, str, bool], list[tuple[Said, Heard]]] = defaultdict(list)
    for one, heard in counts.said.items():
        said[one.symptom, one.cause, one.is_failure].append((one, heard))
    rows += [_said(symptom, means(symptom, cause), is_failure, heards) for (symptom, cause, is_failure), heards in said.items()]
    return tuple(sorted(rows, key=lambda row: (not row.is_failure, -row.count, row.symptom, row.source)))


def _said(symptom: str, meaning: Meaning, is_failure: bool, heards: list[tuple[Said, Heard]]) -> CauseRow:
    targets, minutes = Counter[str](), Minutes()
    for one, heard in heards:
        targets[one.target] += heard.minutes.total()
        minutes.update(heard.minutes)
    timed = [minute for minute, _ in minutes.items() if minute >= 0]
    first = min((heard for _, heard in heards), key=lambda heard: heard.order)
    row = _row(symptom, meaning, targets, (timed[0], timed[-1]) if timed else None)
    return replace(row, source="error", is_failure=is_failure, place=first.place, text=first.text)


def _row(symptom: str, meaning: Meaning, targets: Counter[str], span: tuple[int, int] | None) -> CauseRow:
    first, last = (datetime.fromtimestamp(60 * minute, UTC) for minute in span) if span else (None, None)
    return CauseRow(
        symptom=symptom,
        cause=meaning.cause,
        message=meaning.message,
        side=meaning.side,
        count=targets.total(),
        targets={target: count for target, count in sorted(targets.items(), key=lambda item: (-item[1], item[0])) if target},
        first=first,
        last=last,
    )
