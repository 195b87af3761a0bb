"""What a diagnosis needs of the lines of one log beside their sums: the kind of each failure, and the attempts at known servers.

The lines come from the same reader as those of `why502 logs`, which also decides what a line is, when it was and whether it
counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from why502.logs import formats
from why502.logs.held import line_of, order_of
from why502.logs.join import Waiting
from why502.logs.lines import kind_of, sample_of, waiting_of
from why502.logs.scan.counts import NEVER, Counts, Order
from why502.logs.tallies import Kind
from why502.logs.verdicts import Fields, has_failed, is_failure, meaning
from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import of_iso
from why502.redaction import bare, clean

if TYPE_CHECKING:
    from why502.logs.scan.line_format import Parse

ERROR = 400  # the lowest status of an error
MOST_SHAPES = 4096
MOST_UNDATED = 4096
# The parts that differ between the lines of one outage: time, connection, client, the request and its place in the upstream's
# URI.
_SHAPE = lazy(
    r"(?P<at>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (?P<level>\[\w+\] )\d+#\d+: \*(?P<connection>\d{1,18}) "
    r"(?P<says>[^\n,]{1,300}), client: (?P<client>[^,\n]*+), server: (?P<server>[^,\n]*+), "
    r'request: "(?P<request>[^"\n]+)", upstream: "(?P<to>\w++://(?:unix:[^:"\n]*+:|(?!unix:)[^/"\n]*+))[^"\n]*+", host: "[^"\n]*"'
    r'(?:, referrer: "[^"\n]*+")?',
    re.ASCII,
)


class Place(NamedTuple):
    """Where a line stands: its log, its position among all lines, the byte at which it starts; and what numbers its lines."""

    path: str
    order: Order
    start: int
    number: Callable[[int], int | None]


class _Undated(NamedTuple):
    record: LogRecord
    text: str
    place: Place


def configured(target: Target, sockets: Collection[str]) -> Target:
    """Return the longest configured unix socket that the path starts with: nginx may append a URI directly to the socket path."""
    path = target.path
    if path in sockets:
        return target
    longest = max((x for x in sockets if path.startswith(x) and path[len(x) : len(x) + 1] in ("/", "?")), key=len, default="")
    return Target(path=longest) if longest else target


@lru_cache(64)
def has_all_requests(name: str) -> bool:
    """Return whether a format has a line for each request (`HAS_ALL_REQUESTS` of its module)."""
    return bool(getattr(formats.named(name), "HAS_ALL_REQUESTS", False)) if name else False


class Details:
    """The details of one log, which go into the tallies of its counts.

    `sockets`: paths of the configured unix sockets. `members`: addresses of the servers that a log names only as
    "backend/server". `is_given`: the user named the log, which may be a fragment without times.
    """

    def __init__(
        self,
        *,
        is_given: bool = False,
        sockets: Collection[str] = (),
        members: Mapping[str, Target] = MappingProxyType({}),
    ) -> None:
        self.is_given = is_given
        self.sockets = frozenset(sockets)
        self.members = members
        self._has_all = False  # it has a line for each request
        self._has_attempts = False  # its lines list the attempts of a request
        self._undated: list[_Undated] = []
        self._shapes: dict[tuple[str, ...], LogRecord | None] = {}
        self._waiting: dict[tuple[str, ...], Waiting | None] = {}
        self._shape: tuple[str, ...] | None = None  # of the line that was parsed last
        self._times: dict[str, datetime | None] = {}

    def parser(self, parse: Parse, *, is_nginx: bool) -> Parse:
        """Return a parser that gives the same records, faster where an outage repeats one line of nginx for many requests."""
        if not is_nginx:
            return parse

        def read(text: str) -> LogRecord | None:
            self._shape = None
            match = _SHAPE.fullmatch(text)
            if match is None:
                return self._configured(parse(text))
            at, level, connection, message, client, server, request, to = match.groups()
            shape = (level, message, server, to)
            if shape not in self._shapes:
                if len(self._shapes) >= MOST_SHAPES:
                    return self._configured(parse(text))
                self._shapes[shape] = self._configured(parse(text))
            like = self._shapes[shape]
            moment = self._time(at)
            if like is None or moment is None:
                return self._configured(parse(text))
            self._shape = shape
            return structs.replace(like, at=moment, client=client, request=request, connection=int(connection))

        return read

    def _time(self, text: str) -> datetime | None:
        if text not in self._times:
            if len(self._times) >= MOST_SHAPES:
                self._times.clear()
            self._times[text] = of_iso(text.replace("/", "-"))
        return self._times[text]

    def _configured(self, record: LogRecord | None) -> LogRecord | None:
        if record is None or not self.sockets or record.target is None or not record.target.is_unix:
            return record
        return structs.replace(record, target=configured(record.target, self.sockets))

    def has(self, record: LogRecord) -> bool:
        """Return whether more of a line counts than its outcome: the compiled reader leaves such lines."""
        self._has_attempts |= bool(record.attempts) and is_ending(record)
        return (record.symptom is not None and not record.is_repeat) or bool(_recovered(record))

    def wait(self, record: LogRecord, text: str, place: Place) -> bool:
        """Keep a line whose time is not known yet. Return whether it is kept: it counts when the log's first time is known."""
        is_kept = self.is_given and len(self._undated) < MOST_UNDATED
        if is_kept:
            self._undated.append(_Undated(record, text, place))
        return is_kept

    def date(self, counts: Counts, at: float | None, *, is_inside: bool) -> None:
        """Count the lines that waited: at the time of the first line that has one (None: no line has one)."""
        if not self._undated:
            return
        found, self._undated = self._undated, []
        if not is_inside:
            counts.lines -= len(found)
        for one in found if is_inside else ():
            self.count(counts, one.record, at, one.text, one.place)

    def count(self, counts: Counts, record: LogRecord, at: float | None, text: str, place: Place) -> None:
        """Count the failures of one line."""
        for kind in _recovered(record):
            self._add(counts, kind, record, at, text, place, is_hidden=True)
        if record.symptom is None or record.is_repeat:
            return
        waiting = self._waits(record)
        number = None if waiting is None or at is None else counts.errors.number(waiting)
        if number is not None and at is not None:
            wants = counts.errors.wants_sample(number)
            if counts.errors.add(number, line_of(record, int(at), order_of(*place.order))):
                if wants:
                    counts.errors.sample(sample_of(text, place.path, place.start, place.number(place.start)))
                return
        its = waiting.kind if waiting is not None else kind_of(record)
        if its is not None:
            status = record.status if record.is_final or not record.client else None
            self._add(counts, its._replace(status=status), record, at, text, place)

    def _add(
        self, counts: Counts, kind: Kind, record: LogRecord, at: float | None, text: str, place: Place, *, is_hidden: bool = False
    ) -> None:
        is_shown = counts.tallies.wants_sample(kind)
        counts.tallies.add(
            kind,
            at,
            sample=sample_of(text, place.path, place.start, place.number(place.start)) if is_shown else None,
            order=place.order,
            request=bare(record.request),
            duration_s=record.duration_s,
            is_hidden=is_hidden,
        )

    def _waits(self, record: LogRecord) -> Waiting | None:
        """Return the data with which a line waits for the access line of its request; the same for all lines of one shape."""
        if self._shape is None:
            return waiting_of(record)
        if self._shape not in self._waiting:
            self._waiting[self._shape] = waiting_of(record)
        return self._waiting[self._shape]

    def finish(self, counts: Counts, format: str) -> None:
        """Count the attempts at servers; drop the requests of a log that does not have all of them.

        A log has all requests by its format, or if it has some that succeeded.
        """
        self.date(counts, None, is_inside=True)
        is_counted = has_all_requests(format)
        for (outcome, number, where), tried in counts.tries.items():
            one = outcome.tries[number]
            target = None if self._has_attempts else self.members.get(where)
            if target is None and is_counted and not one.is_group:
                target = Target.parse(where)
            if target is None or (traffic := counts.tallies.traffic(target)) is None:
                continue
            status = one.status if self._has_attempts else outcome.status
            traffic.add("-" if status is None else f"{status:03d}", tried.count)
            if is_failure(status) or (status is None and outcome.failed):
                traffic.fail(tried.count)
            elif tried.last != NEVER:
                traffic.succeed(tried.last)
        counts.tries.clear()
        counts.times.clear()
        if not is_counted and all(outcome.status is None or outcome.status >= ERROR for outcome in counts.outcomes):
            counts.outcomes.clear()


def is_ending(record: LogRecord) -> bool:
    """Return whether a line tells how a request of the gateway ended: one of its access log, not of an application's."""
    return record.is_final and not record.level


def _recovered(record: LogRecord) -> tuple[Kind, ...]:
    """Return the kinds of the failed attempts of a request that ended well."""
    if not record.attempts or not record.is_final or record.symptom is not None or is_failure(record.status):
        return ()
    failed = (attempt for attempt in record.attempts if has_failed(attempt, record.status))
    return tuple(
        Kind(
            meaning(attempt, record.status, Fields()).symptom,
            record.proxy,
            attempt.target,
            attempt.group or record.group,
            clean(record.server),
            record.status,
        )
        for attempt in failed
    )
