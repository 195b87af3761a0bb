"""Gives failed requests the reason in the proxy's error log, so that a failure counts once: under its symptom and its peer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from why502.logs.held import Held
from why502.logs.join import IN_BODY, KEPT_S, Errors, Joiner, requests
from why502.logs.join import Waiting as ErrorLine
from why502.logs.scan.counts import EqualLines, MessageKey
from why502.model.logs import Symptom
from why502.model.request_line import uri_of
from why502.watch.model import AttemptKey, FailureKey, TargetKey
from why502.watch.tailing.places import Places
from why502.watch.tailing.projection import OK, Delta, Series, Waiting
from why502.watch.tailing.shift import Shift

MOST_ERRORS = 50_000  # error lines that wait for their access line


class Joining:
    """The error lines of one proxy that no access line has matched yet. Safe to use from several threads."""

    def __init__(self, proxy: str, series: Series) -> None:
        self.proxy = proxy
        self.series = series
        self._lock = threading.Lock()
        self._errors: Errors = Held()
        self._shift = Shift()

    @property
    def shift_s(self) -> int:
        """Return what is to be added to the times of error lines."""
        return self._shift.seconds

    def hear(self, errors: Errors, kept_s: float = KEPT_S, shift_s: int = 0) -> None:
        """Add error lines, to whose times `shift_s` was added, and drop those that waited longer than `kept_s`: KEPT_S, and as
        long as the access log is buffered.
        """
        if not errors:
            return
        with self._lock:
            _move(errors, self.shift_s - shift_s)
            self._errors.merge(errors)
            oldest = max(self._errors.times) - kept_s
            found = [index for index, at in enumerate(self._errors.times) if at >= oldest]
            self._keep(found[-MOST_ERRORS:])

    def settle(self, delta: Delta, places: Places) -> None:
        """Count the requests that wait: as failed, or as recovered where the client got a good response."""
        with self._lock:
            joiner = Joiner(self._errors.in_order())
            found = list(requests(joiner, delta.held))
            for request in found:
                lines = [joiner.kinds[joiner.errors.shared[line]] for line in request.errors]
                self._count(delta, delta.waiting[request.number], lines, places)
            if any(joiner.taken):
                self._errors = joiner.errors
                self._keep([line for line, is_taken in enumerate(joiner.taken) if not is_taken])
            if found:
                _move(self._errors, self._shift.hear(found, self._errors, range(len(self._errors))))
        for waiting in delta.unheld:
            self._count(delta, waiting, [], places)
        delta.waiting, delta.held, delta.unheld = [], Held(), []

    def _keep(self, indexes: list[int]) -> None:
        if len(indexes) < len(self._errors):
            kept: Errors = Held()
            kept.extend(self._errors, indexes)
            self._errors = kept

    def _count(self, delta: Delta, waiting: Waiting, lines: list[ErrorLine], places: Places) -> None:
        outcome, minute = waiting.outcome, waiting.minute
        of_peer = {places.peer(_name(line)): line.kind.symptom.value for line in lines if _name(line) and line.is_failure}
        symptoms = dict(waiting.symptoms)
        last, symptom = waiting.symptoms[-1]
        named = [line.kind.symptom for line in lines if line.is_failure or line.kind.symptom is Symptom.RATE_LIMITED]
        symptom = named[-1].value if named else symptom
        target = waiting.tried[last] if last is not None and last < len(waiting.tried) else ""
        target = target or next(reversed(of_peer), "") or ("" if named else waiting.only_peer)
        if outcome.failed:
            delta.failures[minute, self.series.of(FailureKey(self.proxy, waiting.location, target, symptom))] += 1
        tried = [(name, of_peer.get(name) or symptoms.get(number, OK)) for number, name in enumerate(waiting.tried) if name]
        for name, result in tried or of_peer.items() or ([(target, symptom)] if target else []):
            delta.attempts[minute, self.series.of(AttemptKey(self.proxy, name, result))] += 1
        if not outcome.failed:
            for number in symptoms:
                if number is not None and number < len(waiting.tried) and waiting.tried[number]:
                    delta.recovered[minute, self.series.of(TargetKey(self.proxy, waiting.tried[number]))] += 1


def _move(errors: Errors, seconds: int) -> None:
    """Change the times of error lines."""
    if seconds:
        for index, at in enumerate(errors.times):
            errors.times[index] = at + seconds


def failures(
    proxy: str, messages: Mapping[MessageKey, EqualLines], places: Places, series: Series
) -> Counter[tuple[int, FailureKey]]:
    """Return the failures that an error log tells of, where there is no access log."""
    found: Counter[tuple[int, FailureKey]] = Counter()
    for one, equal in messages.items():
        if one.is_failure:
            key = series.of(FailureKey(proxy, one.server, places.peer(one.target), one.symptom), equal.minutes.total())
            for minute, count in equal.minutes.items():
                if minute >= 0:
                    found[minute, key] += count
    return found


def cut(proxy: str, errors: Errors, places: Places, series: Series) -> Counter[tuple[int, FailureKey]]:
    """Return the responses that were cut in their body: their access line has the good status that was sent before."""
    kinds, shown = errors.kinds(), errors.shown()
    found: Counter[tuple[int, FailureKey]] = Counter()
    for index, at in enumerate(errors.times):
        line = kinds[errors.shared[index]]
        if line.is_failure and line.kind.phase in IN_BODY:
            location = places.of_path(line.kind.server, uri_of(shown[errors.texts[index]]))
            key = FailureKey(proxy, location, places.peer(_name(line)), line.kind.symptom.value)
            found[int(at) // 60, series.of(key)] += 1
    return found


def _name(line: ErrorLine) -> str:
    return str(line.kind.target) if line.kind.target is not None else line.kind.group
