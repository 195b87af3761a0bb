"""Details shown with any finding: which requests failed, and what the application and its service manager logged at that time.

Notes have no weight. Causes weigh the evidence they need themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.contrast import alone
from why502.logs.reasons import tells_little
from why502.model.finding import Evidence
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Event

NEAR = timedelta(seconds=10)  # around the failures: an application may log its error some seconds before or after
OWN = (Symptom.APPLICATION_ERROR, Symptom.START_FAILED)
ENDS = (Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED, Symptom.OOM_KILLED, Symptom.PHP_CHILD_DIED)
FRAME = lazy(r"\S+\(\) /\S+:\d+")


def notes(case: Case, evidence: Iterable[Evidence]) -> Iterator[Evidence]:
    """Yield the facts that a finding's evidence does not contain already."""
    text = "\n".join(item.message for item in evidence)
    if case.target is None:
        return
    for message, source in _notes(case):
        if (message.partition(": ")[2] or message) not in text:
            yield Evidence(message=message, weight=0.0, source=source)


def _notes(case: Case) -> Iterator[tuple[str, str]]:
    if one := alone(case):
        yield one, "access log"
    if trace := slowest(case):
        yield trace
    if error := _last(case, OWN):
        yield f"the application's last error at that time: {error.message}", error.source
    if end := _last(case, ENDS):
        yield f"how its process ended at that time: {end.message}", end.source


def slowest(case: Case) -> tuple[str, str] | None:
    """Return the place with the most traces in PHP-FPM's slow log, and the log; None if it has none."""
    traces = [event for event in case.events(Symptom.PHP_SLOW) if FRAME.match(event.detail) and _is_near(case, event)]
    if not traces:
        return None
    total = sum(event.count for event in traces)
    found: Counter[str] = Counter()
    for event in traces:
        found[event.detail] += event.count
    frame, count = found.most_common(1)[0]
    of = "the one trace stands" if total == 1 else f"{count} of {total} traces stand"
    return f"in PHP-FPM's slow log, {of} in: {frame}", traces[0].source


def _last(case: Case, symptoms: tuple[Symptom, ...]) -> Event | None:
    """Return the last of these events at the time of the failures; an event with a reason comes before one without."""
    found = [event for event in case.events(*symptoms) if _is_near(case, event) and not case.is_of_a_name(event)]
    return max(
        found,
        key=lambda event: (
            not tells_little(event.detail or event.message),
            event.ended_at.timestamp() if event.ended_at else 0.0,
        ),
        default=None,
    )


def _is_near(case: Case, event: Event) -> bool:
    """Return whether an event was at the time of the target's failures."""
    first, last = case.first_failure, case.last_failure
    if first is None or last is None or event.at is None or event.ended_at is None:
        return False
    return event.ended_at >= first - NEAR and event.at <= last + NEAR
