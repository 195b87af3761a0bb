"""Counters of a log. They are sums of integers only, so any split of the log gives the same result.

Bounds: beyond MOST_KEYS clients (a fifth of that for routes, servers or targets) the rarest are dropped. `lost` is the maximum by
which the count of a remaining one may be too low. Totals, statuses, minutes, outcomes and failures stay exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.held import Ended, Held
from why502.logs.join import Errors
from why502.logs.paths import Paths
from why502.logs.scan.histogram import bucket, in_micros
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import Outcome, of
from why502.logs.scan.routes import route
from why502.logs.tallies import Tallies
from why502.logs.verdicts import Fields, is_failure
from why502.model.logs import Attempt, LogRecord
from why502.model.target import Target
from why502.redaction import clean

MOST_KEYS = 100_000
MOST_MESSAGES = 2000
UNPARSED = 3
REST = "(others)"
NEVER = -(1 << 63)
Order = tuple[int, int]  # number of the part, byte in the file: the position of a line among all lines
_Key = TypeVar("_Key", bound=Hashable)
ROUTE, CONNECT, HEADER, RESPONSE = range(4)  # the owner of a time; ROUTE is the whole request
ROUTES, CLIENTS, SERVERS = range(3)  # the rankings


def name_of(target: Target | None, group: str) -> str:
    """Return the subject of a line: a target, or else a group."""
    return clean(str(target)) if target else clean(group)


class MessageKey(NamedTuple):
    """The key of equivalent lines in an error log (or the log of an application or the kernel)."""

    symptom: str
    proxy: str = ""
    target: str = ""
    server: str = ""
    cause: str = ""  # id of the cause, from the table of the line's format
    is_failure: bool = False


class EqualLines:
    """The times of equivalent lines, and the place of the first."""

    __slots__ = ("minutes", "order", "place", "text")

    def __init__(self, order: Order = (0, 0), place: str = "", text: str = "") -> None:
        self.minutes = Minutes()
        self.order = order
        self.place = place
        self.text = text


class Tried:
    """The attempts of an outcome at one target.

    Count, time of the last (seconds), and the minutes of the attempts that belong to a failure.
    """

    __slots__ = ("count", "last", "minutes")

    def __init__(self) -> None:
        self.count = 0
        self.last = NEVER
        self.minutes = Minutes()

    def update(self, other: Tried) -> None:
        """Add the other's counts."""
        self.count += other.count
        self.last = max(self.last, other.last)
        self.minutes.update(other.minutes)


class Ranking:
    """How often each name occurred, and how often it failed. `lost`: see the module. `distinct`: approximate number of names."""

    __slots__ = ("distinct", "failed", "lost", "total")

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.lost = 0
        self.distinct = 0

    def add(self, name: str, failed: bool) -> None:
        """Count one request."""
        self.total[name] += 1
        if failed:
            self.failed[name] += 1

    def merge(self, other: Ranking) -> None:
        """Add the other's counts."""
        self.total.update(other.total)
        self.failed.update(other.failed)
        self.lost += other.lost
        self.distinct = max(self.distinct, other.distinct)

    def prune(self, most: int) -> set[str]:
        """If there are more than `most` names, drop the rarest until half of `most` remain; return the dropped names."""
        if len(self.total) <= most:
            return set()
        self.distinct = max(self.distinct, len(self.total))
        ranked = sorted(self.total, key=lambda name: (-self.failed[name], -self.total[name], name))
        gone = [name for name in ranked[most // 2 :] if name != REST]
        self.lost += max(self.total[name] for name in gone)
        for name in gone:
            self.total[REST] += self.total.pop(name)
            if failed := self.failed.pop(name, 0):
                self.failed[REST] += failed
        return set(gone)


class Counts:
    """The sum over a set of lines."""

    def __init__(self, *, is_exact: bool = False) -> None:
        self.is_exact = is_exact
        self.lines = 0
        self.unparsed = 0
        self.is_partial = False  # the user stopped the reading
        self.had_requests = False  # in expired minutes
        self.unparsed_first: list[tuple[Order, str, str]] = []  # place and text
        self.first: int | None = None
        self.last: int | None = None
        self.fields = Fields()
        self.outcomes: dict[Outcome, Minutes] = {}
        self.tries: dict[tuple[Outcome, int, str], Tried] = {}  # outcome, number of the attempt, target
        self.routes, self.clients, self.servers = Ranking(), Ranking(), Ranking()
        self.route_statuses: Counter[tuple[str, int]] = Counter()  # of failures
        self.route_minutes: dict[str, Minutes] = {}  # of the failures
        self.times: dict[tuple[int, str], Counter[int]] = {}  # whose, name of route or target -> bucket -> count
        self.messages: dict[MessageKey, EqualLines] = {}
        self.asked = Ranking()  # the values of the requested field
        self.seen: set[str] = set()  # the fields of conditions that a line may have
        self.wordings: dict[str, EqualLines] = {}  # of messages that no rule matches
        self.errors: Errors = Held()  # error lines of requests
        self.failed: Held[Ended] = Held()  # access lines that may match them
        self.paths = Paths()
        self.tallies = Tallies()  # for a diagnosis

    def add(self, record: LogRecord, at: int, *, is_doubtful: bool = False) -> None:
        """Count one access line that ended at that second. `is_doubtful`: not known yet whether its last attempt succeeded."""
        self.note(at)
        outcome, targets = of(record)
        minute = at // 60
        minutes = self.outcomes.get(outcome)
        if minutes is None:
            minutes = self.outcomes[outcome] = Minutes()
        minutes.add(minute)
        if record.format == NGINX_ACCESS:
            self.fields = self.fields.seen(record)
        total_s = record.duration_s
        timed: tuple[Attempt | LogRecord, ...] = record.attempts or (record,)
        failed = is_failure(outcome.status)
        for number, where in enumerate(targets):
            tried = self._try(outcome, number, where)
            tried.count += 1
            if not is_doubtful:
                tried.last = max(tried.last, at)
            if outcome.counts_as_failed(number):
                tried.minutes.add(minute)
        for where, attempt in zip(targets, timed, strict=False):
            for whose, value in ((CONNECT, attempt.connect_s), (HEADER, attempt.header_s), (RESPONSE, attempt.response_s)):
                if value is not None:
                    self._took(whose, where, value)
            if record.duration_s is None and attempt.response_s is not None:
                total_s = (total_s or 0.0) + attempt.response_s
        name = route(record.request)
        self.routes.add(name, failed)
        if total_s is not None:
            self._took(ROUTE, name, total_s)
        if failed:
            self.route_statuses[name, outcome.status or 0] += 1
            self.route_minutes.setdefault(name, Minutes()).add(minute)
        if record.client:
            self.clients.add(record.client[:64], failed)
        if server := record.server or record.host:
            self.servers.add(server[:255], failed)

    def add_message(self, key: MessageKey, at: int | None, order: Order, place: str, text: str) -> None:
        """Count one line of another log; `at` None: it has no time."""
        if at is not None:
            self.note(at)
        else:
            self.lines += 1
        self.message(key, order, place, text).minutes.add(-1 if at is None else at // 60)

    def add_wording(self, wording: str, at: int | None, order: Order, place: str, text: str) -> None:
        """Record a message that no rule matches; its line is counted already."""
        self._wording(wording, order, place, text).minutes.add(-1 if at is None else at // 60)

    def skip(self, order: Order, place: str, text: str) -> None:
        """Count a line that could not be parsed."""
        self.lines += 1
        self.unparsed += 1
        if len(self.unparsed_first) < UNPARSED:
            self.unparsed_first.append((order, place, text))

    def merge(self, other: Counts) -> None:
        """Add the counts of another part of the logs. The other object must not be used afterwards."""
        self.lines += other.lines
        self.unparsed += other.unparsed
        self.is_partial |= other.is_partial
        self.had_requests |= other.had_requests
        self.unparsed_first = sorted(self.unparsed_first + other.unparsed_first)[:UNPARSED]
        self.span(other.first, other.last)
        self.fields = self.fields.with_(other.fields)
        _merge(self.outcomes, other.outcomes)
        _merge(self.tries, other.tries)
        _merge(self.route_minutes, other.route_minutes)
        for mine, its in zip(self.rankings(), other.rankings(), strict=True):
            mine.merge(its)
        self.route_statuses.update(other.route_statuses)
        _merge(self.times, other.times)
        for key, equal in other.messages.items():
            self.message(key, equal.order, equal.place, equal.text).minutes.update(equal.minutes)
        self.asked.merge(other.asked)
        self.seen |= other.seen
        for wording, equal in other.wordings.items():
            self._wording(wording, equal.order, equal.place, equal.text).minutes.update(equal.minutes)
        self.errors.merge(other.errors)
        self.failed.merge(other.failed)
        self.paths.merge(other.paths)
        self.tallies.merge(other.tallies)

    def expire(self, before: int) -> None:
        """Drop the minutes before that second.

        Counts that are not per minute (`lines`, rankings, times) stay; they have bounds of their own.
        """
        minute = before // 60
        self.had_requests |= bool(self.outcomes)
        for tried in self.tries.values():
            tried.minutes.expire(minute)
        for each in (self.outcomes, self.route_minutes):
            for minutes in each.values():
                minutes.expire(minute)
        for equal in (*self.messages.values(), *self.wordings.values()):
            equal.minutes.expire(minute)
        self.outcomes = {outcome: minutes for outcome, minutes in self.outcomes.items() if len(minutes)}
        self.tries = {key: tried for key, tried in self.tries.items() if key[0] in self.outcomes}
        self.route_minutes = {name: minutes for name, minutes in self.route_minutes.items() if len(minutes)}
        self.messages = {key: equal for key, equal in self.messages.items() if len(equal.minutes)}
        self.wordings = {wording: equal for wording, equal in self.wordings.items() if len(equal.minutes)}
        self.errors, self.failed = self.errors.since(60 * minute), self.failed.since(60 * minute)
        self.tallies.expire(60 * minute)

    def prune(self) -> None:
        """Enforce the memory bounds."""
        if self.is_exact:
            return
        gone = self.routes.prune(MOST_KEYS // 5)
        for name in gone:
            if (times := self.times.pop((ROUTE, name), None)) is not None:
                self.times.setdefault((ROUTE, REST), Counter()).update(times)
        if gone:
            statuses, self.route_statuses = self.route_statuses, Counter()
            for (name, status), count in statuses.items():
                self.route_statuses[REST if name in gone else name, status] += count
            for name in gone & self.route_minutes.keys():
                _merge(self.route_minutes, {REST: self.route_minutes.pop(name)})
        self.clients.prune(MOST_KEYS)
        self.servers.prune(MOST_KEYS // 5)
        self.asked.prune(MOST_KEYS)

    def rankings(self) -> tuple[Ranking, Ranking, Ranking]:
        """Return routes, clients, servers."""
        return self.routes, self.clients, self.servers

    def span(self, first: int | None, last: int | None) -> None:
        """Extend the time range by the first and last time of counted lines."""
        if first is not None and (self.first is None or first < self.first):
            self.first = first
        if last is not None and (self.last is None or last > self.last):
            self.last = last

    def _try(self, outcome: Outcome, number: int, where: str) -> Tried:
        key = (outcome, number, where)
        if key not in self.tries and len(self.tries) >= MOST_KEYS:
            key = (outcome, number, REST)
        if (found := self.tries.get(key)) is None:
            found = self.tries[key] = Tried()
        return found

    def message(self, key: MessageKey, order: Order, place: str, text: str) -> EqualLines:
        """Return the entry of equivalent lines; this line is one of them."""
        if key not in self.messages and len(self.messages) >= MOST_MESSAGES:
            key = key._replace(target="", server="")
        return _first(self.messages.setdefault(key, EqualLines(order, place, text)), order, place, text)

    def _wording(self, wording: str, order: Order, place: str, text: str) -> EqualLines:
        """Return the entry of messages with a wording, at most MOST_MESSAGES of them."""
        if wording not in self.wordings and len(self.wordings) >= MOST_MESSAGES:
            wording = REST
        return _first(self.wordings.setdefault(wording, EqualLines(order, place, text)), order, place, text)

    def note(self, at: int) -> None:
        """Count a line, and extend the time range to its second."""
        self.lines += 1
        self.span(at, at)

    def _took(self, whose: int, name: str, seconds: float) -> None:
        micros = in_micros(seconds)
        if (times := self.times.get((whose, name))) is None:
            times = self.times[whose, name] = Counter()
        times[micros if self.is_exact else bucket(micros)] += 1


def _first(equal: EqualLines, order: Order, place: str, text: str) -> EqualLines:
    """Keep the place of the earliest of these lines."""
    if order < equal.order:
        equal.order, equal.place, equal.text = order, place, text
    return equal


_Sum = TypeVar("_Sum", Minutes, Counter[int], Tried)


def _merge(mine: dict[_Key, _Sum], its: Mapping[_Key, _Sum]) -> None:
    for key, more in its.items():
        if (found := mine.get(key)) is None:
            mine[key] = more
        else:
            found.update(more)
