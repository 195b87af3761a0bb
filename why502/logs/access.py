"""Access logs: cheap totals from every line, and full parsing of each failed line together with the error lines of its request."""

from __future__ import annotations

import re
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from why502.logs.bulk import MOST_TIMES, Columns, seconds
from why502.logs.join import IN_BODY, Joiner, whole
from why502.logs.lines import Span, Window, sample_of
from why502.logs.tallies import Kind, Tallies, Traffic, mark
from why502.logs.verdicts import CLIENT_CLOSED, NOT_HTTP, REFUSALS, Fields, has_failed, is_failure, meaning
from why502.logs.window import Chunk
from why502.model.logs import AGENT, Attempt, LogRecord, Symptom
from why502.model.target import Target
from why502.redaction import clean, listed

MOST_LATER = 20_000
MOST_CLOSE = 50_000
LEAST_REFUSAL = 400  # of limit_req_status and limit_conn_status, which are 503 where nobody set them
LIMITS = frozenset({408, 413, 414, 431, 494, 495, 496, 497})  # answers to a client that overstepped one
_OWN = AGENT.encode()
_HEADER = b"PROXY "  # how a PROXY header begins where it is taken for a request
Parse = Callable[[str], LogRecord | None]
_SPLIT = re.compile(rb", | : ")
_STATUS = re.compile(rb"[0-9]{1,9}")


class Later(NamedTuple):
    """A line that looks healthy, yet may be of a request that an error line tells of: an error page, a body that was cut."""

    record: LogRecord
    end: float


class Seen(NamedTuple):
    """A line and its place."""

    text: str
    path: str
    start: int
    number: int | None


class AccessLog:
    """Reads one access log into the tallies. `columns` None: every line is parsed. `server`: the only one that logs here, or "".

    The requests of our own probes are nobody's: they are not counted, where the log names the agent, and neither are their error lines.
    """

    def __init__(
        self,
        window: Window,
        tallies: Tallies,
        joiner: Joiner,
        *,
        parse: Parse,
        format: str = "",
        columns: Columns | None = None,
        server: str = "",
        proxy: str | None = None,
    ) -> None:
        self.window = window
        self.tallies = tallies
        self.joiner = joiner
        self.parse = parse
        self.columns = columns
        self.server = server
        self.proxy = proxy
        self.fields = Fields.of(format)
        self.knows_fields = bool(format)
        self.span = Span()
        self.later: list[Later] = []
        self.close = 0  # lines that were looked at one by one
        self._hot, self._requests = _hot(joiner, only_in_body=self.fields.upstream)
        self._times: dict[bytes, float | None] = {}

    @property
    def is_hurried(self) -> bool:
        """Whether so many lines failed that those which follow are only counted."""
        return self.close > MOST_CLOSE

    def read(self, chunks: Iterable[Chunk], path: str) -> None:
        """Count the lines of the window."""
        for chunk in chunks:
            left, apart = self._bulk(chunk) if self.columns else (None, None)
            start, number = chunk.start, chunk.line
            lines = chunk.data.split(b"\n")
            wanted: Iterable[int] = range(len(lines)) if left is None else left
            position = 0
            for index in wanted:
                for passed in range(position, index):
                    start += len(lines[passed]) + 1
                position = index
                if lines[index].strip():
                    is_counted = apart is not None and index not in apart
                    self._line(lines[index], path, start, None if number is None else number + index, is_counted=is_counted)

    def settle(self) -> None:
        """Give the error lines that no failed request claimed to the lines that look healthy."""
        for record, end in self.later:
            if found := self._take(record, end, None):
                self._joined(found, record, record.status, is_made_good=False)
            is_cut = any(self.joiner.kinds[self.joiner.errors.waiting[line]].is_failure for line in found)
            self._attempts(record, end, is_cut=is_cut)

    def _bulk(self, chunk: Chunk) -> tuple[list[int], frozenset[int]]:
        """Count the healthy lines; return the numbers (from 0) of the lines that need a closer look, and those whose path is not counted yet."""
        columns = self.columns
        assert columns is not None
        rows = columns.rows(chunk.data)
        times = {row[columns.time] for row in rows}
        at = self._at(times)
        inside = {time for time in times if (when := at[time]) is not None and self.window.holds(when)}
        place = (columns.status, columns.address, columns.upstream_status)
        combos = [
            (row[place[0]], row[place[1]] if place[1] >= 0 else b"", row[place[2]] if place[2] >= 0 else b"") for row in rows
        ]
        numbers: Iterable[int] = range(len(rows))
        if len(inside) < len(times):
            numbers = [
                number for number in numbers if rows[number][columns.time] in inside or at[rows[number][columns.time]] is None
            ]
        plain = {combo for combo in set(combos) if _is_plain(*combo)}
        own: list[int] = []
        if _OWN in chunk.data:
            lines = chunk.data.split(b"\n")
            own = [number for number in numbers if _OWN in lines[number]]
            numbers = sorted(set(numbers).difference(own))
        apart = self._answers(rows, numbers, at)
        closer = [number for number in numbers if combos[number] not in plain]
        if columns.request >= 0 and _HEADER in chunk.data:
            closer += [n for n in numbers if combos[n] in plain and _is_header(rows[n], columns)]
            closer.sort()
        hot = {time for time in inside if int(at[time] or 0) in self._hot}
        if hot:
            closer += [
                n for n in numbers if rows[n][columns.time] in hot and combos[n] in plain and self._may_be_of_error(rows[n])
            ]
            closer = sorted(set(closer))
        looked = set(closer)
        self.close += len(looked)
        self._add([rows[n] for n in numbers if n not in looked], [combos[n] for n in numbers if n not in looked], at)
        if self.is_hurried:
            self._count_only(Counter((combos[n], rows[n][columns.time]) for n in closer), at)
            return own, apart
        return sorted((*closer, *own)), apart

    def _answers(self, rows: list[tuple[bytes, ...]], numbers: Iterable[int], at: dict[bytes, float | None]) -> frozenset[int]:
        """Count what each path was answered; return the numbers of the lines that this could not be told of."""
        columns = self.columns
        assert columns is not None
        time, status, request, method, server = columns.time, columns.status, columns.request, columns.method, columns.server
        fitting = [number for number in numbers if rows[number][status].isdigit() and at[rows[number][time]] is not None]
        apart = frozenset(numbers).difference(fitting)
        if request < 0:
            return apart
        told = [rows[number] for number in fitting]
        keys = [
            (
                row[server] if server >= 0 else b"",
                row[method] + b" " if method >= 0 else b"",
                row[request].partition(b"?")[0],
                row[status],
            )
            for row in told
        ]
        last: dict[tuple[bytes, ...], float] = {}
        refusals: dict[tuple[bytes, ...], list[tuple[float, int]]] = {}
        for (key, moment), count in Counter(zip(keys, (row[time] for row in told), strict=True)).items():
            last[key] = max(last.get(key, 0.0), at[moment] or 0.0)
            if int(key[3]) in REFUSALS:
                refusals.setdefault(key, []).append((at[moment] or 0.0, count))
        clients: dict[tuple[bytes, ...], set[int]] = {}
        if columns.client >= 0:
            refused = {key for key in last if int(key[3]) in REFUSALS}
            for key, row in zip(keys, told, strict=True) if refused else ():
                if key in refused:
                    clients.setdefault(key, set()).add(zlib.crc32(row[columns.client]))
        for key, count in Counter(keys).items():
            name, verb, line, code = key
            host = clean(name.decode("utf-8", "surrogateescape")) if name not in (b"", b"-", b"_") else ""
            request_line = (verb + line).decode("utf-8", "surrogateescape")
            for when, times in refusals.get(key, ((last[key], count),)):
                self.tallies.paths.add(self.server or host, request_line, int(code), when, times, clients.get(key, ()))
        return apart

    def _count_only(self, lines: Counter[tuple[tuple[bytes, bytes, bytes], bytes]], at: dict[bytes, float | None]) -> None:
        """Count failures without a look at each: statuses, times and traffic are right, their reasons are not looked for."""
        for ((status, addresses, statuses), time), count in lines.items():
            self.span.lines += count
            when = at[time]
            if when is None or not _STATUS.fullmatch(status):
                self.span.unread += count
                continue
            self.span.see(when)
            self.tallies.requests += count
            self.tallies.by_status[f"{int(status):03d}"] += count
            ends = _SPLIT.split(statuses)
            for address, one in zip(_SPLIT.split(addresses), ends, strict=False):
                if (traffic := self._traffic(address)) is None:
                    continue
                traffic.add(one.decode("ascii", "replace"), count)
                if _STATUS.fullmatch(one) and is_failure(int(one)):
                    traffic.fail(count)
                elif _STATUS.fullmatch(one) and int(status) != NOT_HTTP:
                    traffic.succeed(when)

    def _add(
        self, rows: list[tuple[bytes, ...]], combos: list[tuple[bytes, bytes, bytes]], at: dict[bytes, float | None]
    ) -> None:
        if not rows:
            return
        columns, tallies = self.columns, self.tallies
        assert columns is not None
        self.span.lines += len(rows)
        tallies.requests += len(rows)
        for when in (at[time] for time in {row[columns.time] for row in rows}):
            if when is not None:
                self.span.see(when)
        for (status, address, upstream_status), count in Counter(combos).items():
            tallies.by_status[status.decode("ascii")] += count
            if (traffic := self._traffic(address)) is not None:
                traffic.add(upstream_status.decode("ascii"), count)
        if columns.address < 0:
            return
        for address, time in {(row[columns.address], row[columns.time]) for row in rows}:
            if (traffic := self._traffic(address)) is not None and (when := at[time]) is not None:
                traffic.succeed(when)
        if columns.response_time >= 0:
            for (address, took), count in Counter((row[columns.address], row[columns.response_time]) for row in rows).items():
                if (traffic := self._traffic(address)) is not None and (response_s := _number(took)) is not None:
                    traffic.took(response_s, count)

    def _line(self, raw: bytes, path: str, start: int, number: int | None, *, is_counted: bool = False) -> None:
        """Count one line that was looked at closely; `is_counted`: what its path was answered is counted already."""
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        record = self.parse(text)
        if record is None or record.at is None:
            self.span.lines += 1
            self.span.unread += 1
            return
        end = self.window.seconds(record.at)
        if not self.window.holds(end):
            return
        self.span.lines += 1
        self.span.see(end)
        has_any_failed = is_failure(record.status) or any(has_failed(attempt, record.status) for attempt in record.attempts)
        if _OWN in raw:
            if has_any_failed:
                self._take(record, end, None)
            return
        self.tallies.requests += 1
        if record.status is not None:
            self.tallies.by_status[f"{record.status:03d}"] += 1
            if not is_counted:
                name = self.server or clean(record.server or record.host)
                self.tallies.paths.add(name, record.request, record.status, end, clients=(mark(record.client),))
        if not self.knows_fields:
            self.fields = self.fields.seen(record)
        is_cut = False
        if has_any_failed:
            is_cut = self._failed(record, end, Seen(text, path, start, number))
        elif record.symptom is not None and not record.attempts:  # a limit of the proxy: 413, 414
            found = self._take(record, end, 1)
            self._joined(found, record, record.status, is_made_good=False)
            if not found:
                self._alone(None, record, record.status, end, Seen(text, path, start, number), record.symptom)
        elif (
            int(end) in self._hot
            and len(self.later) < MOST_LATER
            and (not (request := _request(record)) or mark(whole(request)) in self._requests)
        ):
            self.later.append(Later(record, end))
            return
        self._attempts(record, end, is_cut=is_cut)

    def _attempts(self, record: LogRecord, end: float, *, is_cut: bool) -> None:
        """Count what became of each attempt. The last one failed whatever its status where its answer was cut, or no HTTP."""
        is_cut |= record.status == NOT_HTTP
        for index, attempt in enumerate(record.attempts):
            if attempt.target is None or (traffic := self.tallies.traffic(attempt.target)) is None:
                continue
            traffic.add("-" if attempt.status is None else f"{attempt.status:03d}")
            if attempt.response_s is not None:
                traffic.took(attempt.response_s)
            is_last = index == len(record.attempts) - 1
            is_answer = is_last and attempt.status == 500  # nginx makes 500 of attempts without an address only
            if (has_failed(attempt, record.status) and not is_answer) or (is_cut and is_last):
                if record.status != CLIENT_CLOSED or attempt.status not in (None, CLIENT_CLOSED):
                    traffic.fail()
            elif attempt.status is not None:
                traffic.succeed(end)

    def _failed(self, record: LogRecord, end: float, seen: Seen) -> bool:
        """Count a request of which at least one attempt failed. Return whether its body was cut although its status is good."""
        attempts, status = record.attempts, record.status
        failed = [attempt for attempt in attempts if has_failed(attempt, status)]
        is_made_good = not is_failure(status) and attempts[-1] not in failed
        if not is_failure(status) and not is_made_good:
            status = attempts[-1].status  # an error page hides it
        found = self._take(record, end, len(failed) or None)
        if status == 500 and not found and self._is_passed_on(attempts):
            self._alone(attempts[-1] if attempts else None, record, status, end, seen, Symptom.UPSTREAM_STATUS)
            failed = failed[:-1]
            if not failed:
                return False
        self._joined(found, record, status, is_made_good=is_made_good)
        kinds = [self.joiner.kinds[self.joiner.errors.waiting[line]].kind for line in found]
        told = {(kind.target, kind.group) for kind in kinds}
        alone: list[Attempt | None] = [attempt for attempt in failed if (attempt.target, attempt.group) not in told]
        if not found and not alone:
            alone = [attempts[-1] if attempts and status in (NOT_HTTP, CLIENT_CLOSED) else None]
        if found and not any(kind.target or kind.group for kind in kinds):  # a reason before any attempt: no descriptor, no name
            alone = []
        if not self.joiner.errors.is_full:
            for attempt in alone:
                self._alone(attempt, record, status, end, seen, is_hidden=is_made_good)
        return any(kind.phase in IN_BODY for kind in kinds)

    def _is_passed_on(self, attempts: tuple[Attempt, ...]) -> bool:
        """Return whether a 500 is the application's own answer: nginx tells in its error log why it makes one itself."""
        if not attempts:
            return not self.fields.upstream
        return attempts[-1].target is not None and (attempts[-1].header_s is not None or not self.fields.header)

    def _take(self, record: LogRecord, end: float, most: int | None) -> list[int]:
        duration_s = record.duration_s
        if duration_s is None and record.attempts and record.attempts[0].response_s is not None:
            duration_s = sum(attempt.response_s or 0.0 for attempt in record.attempts)
        return self.joiner.take(
            record.client,
            _request(record),
            end=end,
            duration_s=duration_s,
            most=most,
            connection=record.connection,
            targets=frozenset(attempt.target for attempt in record.attempts if attempt.target),
            path=record.request if record.request.startswith("/") else "",
        )

    def _alone(
        self,
        attempt: Attempt | None,
        record: LogRecord,
        status: int | None,
        end: float,
        seen: Seen,
        symptom: Symptom | None = None,
        *,
        is_hidden: bool = False,
    ) -> None:
        """Count what only the access log tells of."""
        said, phase = (symptom, None) if symptom else meaning(attempt, status, self.fields)
        kind = Kind(
            said,
            record.proxy or self.proxy,
            attempt.target if attempt else None,
            attempt.group if attempt else "",
            clean(record.server) or self.server,
            status,
            phase,
        )
        took = attempt.response_s if attempt and attempt.response_s is not None else record.duration_s
        self.tallies.add(
            kind,
            end,
            sample=sample_of(*seen) if self.tallies.wants_sample(kind) else None,
            request=listed(record.request),
            duration_s=took,
            is_hidden=is_hidden,
        )

    def _joined(self, found: list[int], record: LogRecord, status: int | None, *, is_made_good: bool) -> None:
        """Count error lines with what their access line told."""
        for line in found:
            waiting = self.joiner.kinds[self.joiner.errors.waiting[line]]
            in_body = waiting.kind.phase in IN_BODY
            is_refusal = waiting.kind.symptom is Symptom.RATE_LIMITED and (record.status or 0) >= LEAST_REFUSAL
            if in_body or is_refusal:
                seen = record.status
            elif is_made_good or is_failure(status) or not waiting.is_failure:
                seen = status
            else:
                seen = waiting.own_status
            self.joiner.count(
                line, self.tallies, status=seen, duration_s=record.duration_s, is_hidden=is_made_good and not in_body
            )

    def _may_be_of_error(self, row: tuple[bytes, ...]) -> bool:
        assert self.columns is not None
        if self.columns.request < 0:
            return True
        request = row[self.columns.request]
        if self.columns.method >= 0:
            request = row[self.columns.method] + b" " + request
        return b"\\" in request or mark(whole(request.decode("utf-8", "surrogateescape"))) in self._requests

    def _at(self, times: set[bytes]) -> dict[bytes, float | None]:
        assert self.columns is not None
        if len(self._times) > MOST_TIMES:
            self._times.clear()
        for time in times:
            if time not in self._times:
                self._times[time] = seconds(self.columns.time_name, time)
        return self._times

    def _traffic(self, address: bytes) -> Traffic | None:
        target = _target(address)
        return None if target is None else self.tallies.traffic(target)


def _request(record: LogRecord) -> str:
    """Return the request line; "" where the log has only a part of it, which no error line is found by."""
    return record.request if " " in record.request else ""


def _hot(joiner: Joiner, *, only_in_body: bool) -> tuple[set[int], set[int]]:
    """Return the seconds and the marks of requests where a healthy line may be of an error line.

    Where the log has the upstream's status, only a cut body hides from it, and what a limit refused with a status of its own (429, 444).
    """
    errors = joiner.errors
    kinds = [waiting.kind for waiting in joiner.kinds]
    wanted = array("B", (not only_in_body or kind.phase in IN_BODY or kind.symptom is Symptom.RATE_LIMITED for kind in kinds))
    hot: set[int] = set()
    requests: set[int] = set()
    for time, waiting, request in zip(errors.times, errors.waiting, errors.requests, strict=True):
        if wanted[waiting]:
            hot.add(time)
            if len(requests) < MOST_LATER:
                requests.add(request)
    return {second + off for second in hot for off in range(-2, 3)}, requests


def _is_header(row: tuple[bytes, ...], columns: Columns) -> bool:
    """Return whether a request that was refused begins like a PROXY header."""
    method = row[columns.method] + b" " if columns.method >= 0 else b""
    return row[columns.status] == b"400" and (method + row[columns.request]).startswith(_HEADER)


@lru_cache(4096)
def _is_plain(status: bytes, address: bytes, upstream_status: bytes) -> bool:
    """Return whether nothing failed: one attempt or none, with statuses below 500."""
    if len(status) != 3 or not _STATUS.fullmatch(status) or is_failure(int(status)) or int(status) in LIMITS:
        return False
    if upstream_status in (b"", b"-"):
        return address in (b"", b"-")
    is_one = (
        len(upstream_status) == 3
        and _STATUS.fullmatch(upstream_status) is not None
        and b", " not in address
        and b" : " not in address
    )
    return is_one and not is_failure(int(upstream_status))


@lru_cache(4096)
def _target(address: bytes) -> Target | None:
    return None if address in (b"", b"-") else Target.parse(address.decode("utf-8", "replace"))


@lru_cache(8192)
def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
