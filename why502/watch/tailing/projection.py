"""From the requests of an access log to counters: by minute, location, target and symptom together.

A failed request waits in `Delta.waiting`, because the error log has the reason: see `joining`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar, cast

from why502.logs.held import Ended, Held, Origin, line_of, of_access
from why502.logs.scan.counts import RESPONSE, Counts
from why502.logs.scan.histogram import bucket, in_micros
from why502.logs.scan.line_format import Form
from why502.logs.scan.outcome import Outcome, of, reasons
from why502.logs.verdicts import Fields
from why502.model.logs import LogRecord, Symptom
from why502.model.request_line import uri_of
from why502.watch.model import AttemptKey, FailureKey, RequestKey, TargetKey
from why502.watch.tailing.agents import NEEDLES, Agents
from why502.watch.tailing.places import OTHER, Places, backend

OK = "ok"
MOST_SERIES = 2000  # keys of one kind; what comes later is counted under OTHER
_OWN_CODES = frozenset({499, 502, 503, 504})
_UNPLACED = frozenset({Symptom.GATEWAY_STATUS.value, Symptom.CLIENT_CLOSED.value})  # all that an access line can show
Key = RequestKey | FailureKey | AttemptKey | TargetKey
K = TypeVar("K", bound=Key)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request with a failed attempt, as its access line tells of it; `tried` are the configured peers of its attempts."""

    minute: int
    location: str
    outcome: Outcome
    tried: tuple[str, ...]
    symptoms: tuple[tuple[int | None, str], ...]  # number of the attempt, symptom
    only_peer: str


@dataclass(slots=True)
class Delta:
    """What some lines of an access log added."""

    requests: Counter[tuple[int, RequestKey]] = field(default_factory=Counter)
    failures: Counter[tuple[int, FailureKey]] = field(default_factory=Counter)
    attempts: Counter[tuple[int, AttemptKey]] = field(default_factory=Counter)
    recovered: Counter[tuple[int, TargetKey]] = field(default_factory=Counter)
    durations: dict[tuple[int, TargetKey], Counter[int]] = field(default_factory=dict)
    checks: Counter[int] = field(default_factory=Counter)
    waiting: list[Waiting] = field(default_factory=list)
    held: Held[Ended] = field(default_factory=Held)  # of each of them, what the join needs
    unheld: list[Waiting] = field(default_factory=list)  # those beyond the bounds of the join
    last: int | None = None  # second in which the latest request ended


class Series:
    """Bounds the number of different keys of a proxy."""

    def __init__(self, most: int = MOST_SERIES) -> None:
        self.most = most
        self.overflow = 0
        self._known: dict[type[Key], set[Key]] = {}

    def of(self, key: K, count: int = 1) -> K:
        """Return the key to count something under."""
        if self._has_room(key):
            return key
        self.overflow += count
        return cast(K, key._replace(**{name: OTHER for name in ("location", "target") if name in key._fields}))

    def _has_room(self, key: Key) -> bool:
        known = self._known.setdefault(type(key), set())
        if key not in known and len(known) < self.most:
            known.add(key)
        return key in known


class Projection:
    """Takes the requests of one access log (`why502.logs.follow.step.Sink`)."""

    def __init__(self, proxy: str, log: str, places: Places, series: Series) -> None:
        self.proxy = proxy
        self.places = places
        self.series = series
        self.fields = Fields()
        self._origin = Origin(log)
        self._delta = Delta()
        self._form: Form | None = None
        self._agents = Agents(Form())

    def take(self) -> Delta:
        """Return what was added since the last call."""
        delta, self._delta = self._delta, Delta()
        return delta

    def begin(self, form: Form) -> None:
        """Learn how the lines that follow are read."""
        if form != self._form:
            self._form, self._agents = form, Agents(form)
            self.fields = self.fields.with_(Fields.of(form.log_format))

    def request(self, record: LogRecord, at: int, line: str) -> None:
        """Count a request that ended in that second."""
        delta, minute = self._delta, at // 60
        delta.last = at if delta.last is None else max(delta.last, at)
        if self._agents.is_check(record, line):
            delta.checks[minute] += 1
            return
        self.fields = self.fields.seen(record)
        outcome, where = of(record)
        location = self.places.location(record)
        key = self.series.of(RequestKey(self.proxy, location, code(outcome.status)))
        delta.requests[minute, key] += 1
        tried = tuple(map(self.places.peer, where))
        self._durations(record, minute, tried)
        symptoms = reasons(outcome, self.fields)
        if not symptoms:
            for name in filter(None, tried):
                delta.attempts[minute, self.series.of(AttemptKey(self.proxy, name, OK))] += 1
            return
        only = self.places.only_peer(record) if symptoms[-1][1] in _UNPLACED and not any(tried) else ""
        waiting = Waiting(minute, location, outcome, tried, symptoms, only)
        number = delta.held.number(of_access(record, self._origin))
        is_held = number is not None and delta.held.add(number, line_of(record, at, len(delta.waiting)))
        (delta.waiting if is_held else delta.unheld).append(waiting)

    def requests(self, counts: Counts, lines: bytes) -> bool:
        """Count the requests that the compiled reader counted; False if they lie in several minutes, or some failed."""
        minutes = {minute for found in counts.outcomes.values() for minute, _ in found.items()}
        if len(minutes) > 1 or any(reasons(outcome, counts.fields) for outcome in counts.outcomes):
            return False
        if any(needle in lines for needle in NEEDLES):
            return False
        self.fields = self.fields.with_(counts.fields)
        for minute in minutes:
            self._many(counts, minute)
        return True

    def _many(self, counts: Counts, minute: int) -> None:
        delta = self._delta
        if counts.last is not None:
            delta.last = counts.last if delta.last is None else max(delta.last, counts.last)
        left: Counter[str] = Counter()
        for outcome, found in counts.outcomes.items():
            left[code(outcome.status)] += found.total()
        for location, name, count in self._located(counts):
            delta.requests[minute, self.series.of(RequestKey(self.proxy, location, name), count)] += count
            left[name] -= count
        for name, count in left.items():
            if count > 0:
                delta.requests[minute, self.series.of(RequestKey(self.proxy, "", name), count)] += count
        for (_, _, where), tried in counts.tries.items():
            if where:
                key = self.series.of(AttemptKey(self.proxy, self.places.peer(where), OK), tried.count)
                delta.attempts[minute, key] += tried.count
        for (whose, where), times in counts.times.items():
            if whose == RESPONSE and where:
                self._took(minute, self.places.peer(where)).update(times)

    def _located(self, counts: Counts) -> list[tuple[str, str, int]]:
        """Return locations, codes and how many requests had them."""
        if self.places.has_paths:
            return [
                (self.places.of_path(path.server, _example(path.request)), code(int(status)), count)
                for path in counts.paths.value()
                for status, count in path.statuses.items()
            ]
        return [
            (backend(where), code(outcome.status), tried.count)
            for (outcome, number, where), tried in counts.tries.items()
            if number == 0
        ]

    def _durations(self, record: LogRecord, minute: int, tried: tuple[str, ...]) -> None:
        """Count how long each peer took."""
        times = [attempt.response_s for attempt in record.attempts] or [record.response_s]
        for name, value in zip(tried, times, strict=False):
            if name and value is not None:
                self._took(minute, name)[bucket(in_micros(value))] += 1

    def _took(self, minute: int, target: str) -> Counter[int]:
        return self._delta.durations.setdefault((minute, self.series.of(TargetKey(self.proxy, target))), Counter())


def code(status: int | None) -> str:
    """Return the class of a status in which requests are counted."""
    if status in _OWN_CODES:
        return str(status)
    return f"{status // 100}xx" if status is not None and 200 <= status <= 599 else OTHER


def _example(request: str) -> str:
    """Return a path that has the route of some requests: one with numbers in place of the asterisks."""
    return uri_of(request).replace("*", "0")
