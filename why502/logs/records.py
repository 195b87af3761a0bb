"""Logs that are parsed entry by entry: error logs, and the logs of applications and the kernel.

A request's error line waits (join.py) for the access line of that request; everything else is counted immediately.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from why502.logs import formats
from why502.logs.held import Line as HeldLine
from why502.logs.held import mark, whole
from why502.logs.join import Errors
from why502.logs.lines import Entry, Span, Window, kind_of, sample_of, waiting_of
from why502.logs.stitching import Records, Stitch
from why502.logs.tallies import Kind, Tallies
from why502.logs.verdicts import Fields, has_failed, is_failure, meaning
from why502.model.logs import Attempt, LogRecord
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import of_iso
from why502.redaction import bare, clean

ERROR = 400  # the lowest status of an error
MOST_SHAPES = 4096
# The parts that differ between the lines of one outage: time, connection, client, the request and its place in the upstream's
# URI.
_SHAPE = lazy(
    r"(?P<at>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (?P<level>\[\w+\] )\d+#\d+: \*(?P<connection>\d{1,18}) "
    r"(?P<says>[^\n,]{1,300}), client: (?P<client>[^,\n]*+), server: (?P<server>[^,\n]*+), "
    r'request: "(?P<request>[^"\n]+)", upstream: "(?P<to>\w++://(?:unix:[^:"\n]*+:|(?!unix:)[^/"\n]*+))[^"\n]*+", host: "[^"\n]*"'
    r'(?:, referrer: "[^"\n]*+")?',
    re.ASCII,
)


class Line(NamedTuple):
    """The parts of a record that are counted. `number` is its kind's number among the waiting lines; None if it does not wait."""

    kind: Kind | None
    number: int | None
    is_failure: bool
    status: int | None
    at: float | None
    client: str
    request: str
    connection: int | None
    duration_s: float | None
    is_final: bool = False
    is_of_access: bool = False  # a line of an access log, which has a line for each request
    recovered: tuple[Kind, ...] = ()  # of failed attempts of a request that ended well
    attempts: tuple[Attempt, ...] = ()
    is_counted: bool = False  # its log has every request, the good ones too: see HAS_ALL_REQUESTS
    server: str = ""  # of a line that reports how a request ended
    member: Target | None = None  # and the address of the backend server that handled it


def configured(target: Target, sockets: Collection[str]) -> Target:
    """Return the longest configured unix socket that the path starts with: nginx may append a URI directly to the socket path."""
    path = target.path
    if path in sockets:
        return target
    longest = max((x for x in sockets if path.startswith(x) and path[len(x) : len(x) + 1] in ("/", "?")), key=len, default="")
    return Target(path=longest) if longest else target


@lru_cache(64)
def _has_all_requests(name: str) -> bool:
    """Return whether a format has a line for each request (`HAS_ALL_REQUESTS` of its module)."""
    return bool(getattr(formats.named(name), "HAS_ALL_REQUESTS", False)) if name else False


def _recovered(record: LogRecord) -> tuple[Kind, ...]:
    """Return the kinds of the failed attempts of a request that ended well."""
    if not record.is_final or record.symptom is not None or is_failure(record.status):
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


class RecordLog:
    """Reads one log and adds it to the tallies and `errors`."""

    def __init__(
        self,
        window: Window,
        tallies: Tallies,
        errors: Errors,
        *,
        parse: Callable[[str], LogRecord | None],
        is_nginx: bool = False,
        is_given: bool = False,
        sockets: Sequence[str] = (),
        members: Mapping[str, Target] = MappingProxyType({}),
        shared: dict[str, Stitch | None] | None = None,
    ) -> None:
        self.window = window
        self.tallies = tallies
        self.errors = errors
        self.parse = parse
        self.is_nginx = is_nginx
        self.is_given = is_given
        self.sockets = frozenset(sockets)  # paths of the configured unix sockets
        self.members = members  # addresses of the servers that a log names only as "backend/server"
        self.span = Span()
        self._records = Records(shared)
        self._shapes: dict[tuple[str, ...], Line | None] = {}
        self._times: dict[str, float] = {}

    def read(self, source: Iterable[Entry], path: str) -> None:
        """Count the entries inside the window.

        An entry without a time gets the time of the previous entry; the first entries of a log get that of the first entry that
        has one. A log with no times at all is counted only if the user named it (it may be a fragment); otherwise it is reported
        as unread.
        """
        at: float | None = None
        undated: list[tuple[Line, Entry]] = []
        statuses: Counter[tuple[int | None, bool]] = Counter()
        for entry in source:
            line = (self._known(entry.text) if self.is_nginx else None) or self._line(entry.text)
            if line is not None and line.at is not None:
                at = line.at
                self._settle(undated, at, path)
            if at is not None and not self.window.holds(at):
                continue
            self.span.lines += 1
            if line is not None and at is None and self.is_given and len(undated) < MOST_SHAPES:
                undated.append((line, entry))
                continue
            if line is None or at is None:
                self.span.unread += 1
                continue
            self.span.see(at)
            if line.is_of_access:
                statuses[line.status, line.is_counted] += 1
            if line.is_of_access and line.status is not None and line.request:
                self.tallies.paths.add(line.server, line.request, line.status, at, clients=(mark(line.client),))
            if line.is_of_access and line.status is not None:
                self._attempts(line, line.status, at)
            for kind in line.recovered:
                self._count(line, kind, at, entry, path, is_hidden=True)
            if line.kind is not None:
                self._count(line, line.kind, at, entry, path)
        self._settle(undated, None, path)
        self._see(statuses)

    def _see(self, statuses: Counter[tuple[int | None, bool]]) -> None:
        """Count the requests of a log that has all of them: by its format, or because it has some that succeeded."""
        has_all = any(is_counted or (status is not None and status < ERROR) for status, is_counted in statuses)
        for (status, _), count in statuses.items() if has_all else ():
            self.tallies.see(status, count)

    def _attempts(self, line: Line, status: int, at: float) -> None:
        """Count the outcome of a request at the servers that it was sent to."""
        if line.member is not None:
            self._attempt(line.member, status, at, has_failed=line.is_failure or line.kind is not None)
        for attempt in line.attempts:
            if attempt.target is not None:
                self._attempt(attempt.target, attempt.status, at, has_failed=has_failed(attempt, status))

    def _attempt(self, member: Target, status: int | None, at: float, *, has_failed: bool) -> None:
        """Count the outcome of a request at the server that handled it."""
        if (traffic := self.tallies.traffic(member)) is None:
            return
        traffic.add("-" if status is None else f"{status:03d}")
        if is_failure(status) or (status is None and has_failed):
            traffic.fail()
        elif not has_failed:
            traffic.succeed(at)

    def _settle(self, undated: list[tuple[Line, Entry]], at: float | None, path: str) -> None:
        """Count the entries without a time. They get the time of the first entry that has one (None: no entry has one)."""
        if at is None or self.window.holds(at):
            for line, entry in undated:
                if line.kind is not None:
                    self._count(line, line.kind, at, entry, path)
        else:
            self.span.lines -= len(undated)
        undated.clear()

    def _line(self, text: str) -> Line | None:
        record = self.parse(text)
        if record is None:
            return None
        record = self._records.follow(record)
        if self.is_nginx and self.sockets and record.target is not None and record.target.is_unix:
            record = msgspec.structs.replace(record, target=configured(record.target, self.sockets))
        is_of_access = record.is_final and not record.level
        is_counted = is_of_access and _has_all_requests(record.format)
        kind, waiting = kind_of(record), waiting_of(record)
        number = None if waiting is None else self.errors.number(waiting)
        return Line(
            kind=kind,
            number=number,
            is_failure=record.is_gateway_failure,
            status=record.status,
            at=self.window.seconds(record.at) if record.at is not None else None,
            client=record.client,
            request=record.request,
            connection=record.connection,
            duration_s=record.duration_s,
            is_final=record.is_final,
            is_of_access=is_of_access,
            server=clean(record.server or record.host) if record.is_final else "",
            is_counted=is_counted,
            member=self._member(record, is_counted=is_counted),
            attempts=record.attempts if is_counted else (),
            recovered=_recovered(record),
        )

    def _member(self, record: LogRecord, *, is_counted: bool) -> Target | None:
        """Return the server that answered a request, where the line does not list its attempts."""
        if not record.is_final or (is_counted and record.attempts):
            return None
        return self.members.get(record.group) or (record.target if is_counted else None)

    def _known(self, text: str) -> Line | None:
        """Return the Line of an equivalent earlier line from another request: an outage repeats the same line many times."""
        match = _SHAPE.fullmatch(text)
        if match is None:
            return None
        at, level, connection, message, client, server, request, to = match.groups()
        shape = (level, message, server, to)
        if shape not in self._shapes:
            if len(self._shapes) < MOST_SHAPES:
                self._shapes[shape] = self._line(text)
            return None
        line = self._shapes[shape]
        if line is None:
            return None
        if at not in self._times:
            if len(self._times) > MOST_SHAPES:
                self._times.clear()
            if (moment := of_iso(at.replace("/", "-"))) is None:
                return None
            self._times[at] = self.window.seconds(moment)
        return Line(
            line.kind,
            line.number,
            line.is_failure,
            line.status,
            self._times[at],
            client,
            request,
            int(connection),
            line.duration_s,
        )

    def _count(self, line: Line, kind: Kind, at: float | None, entry: Entry, path: str, *, is_hidden: bool = False) -> None:
        shown = bare(line.request)
        number = line.number
        if number is not None and at is not None:
            wants = self.errors.wants_sample(number)
            marks = mark(line.client), mark(whole(line.request))
            if self.errors.add(number, HeldLine(int(at), *marks, line.connection or 0, shown, order=len(self.errors))):
                if wants:
                    self.errors.sample(sample_of(entry.text, path, entry.start, entry.line))
                return
        kind = kind._replace(status=line.status if line.is_final or not line.client else None)
        sample = sample_of(entry.text, path, entry.start, entry.line) if self.tallies.wants_sample(kind) else None
        self.tallies.add(kind, at, sample=sample, request=shown, duration_s=line.duration_s, is_hidden=is_hidden)
