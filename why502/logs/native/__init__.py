"""The compiled reader: one per thread, because a call releases the interpreter.

If its library does not load, Python reads the log.

Its source is in `src/`; `make` in this directory builds it. `src/program.rs` documents the elements of a layout.
"""

from __future__ import annotations

import copy
import ctypes
import os
import platform
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from why502.logs.held import mark
from why502.logs.join import Suspects
from why502.logs.lines import waiting_of
from why502.logs.native.layout import Layout
from why502.logs.pairing import ALONE, Pairing
from why502.logs.paths import MOST_STEPS
from why502.logs.scan.counts import CLIENTS, CONNECT, HEADER, RESPONSE, ROUTE, ROUTES, SERVERS, Counts, Order, Ranking, Tried
from why502.logs.scan.message_key import is_request, message_key, shown
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import Outcome, of
from why502.logs.split_lines import Lines
from why502.logs.verdicts import NOTED, REFUSALS
from why502.model.logs import LogRecord

CAPACITY = 1 << 20
_PAD = 64  # bytes read beyond the text, whatever their values
_SAMPLE_BYTES = 1 << 13  # maximum size of a line that the reader keeps
_FAILED = (1 << 64) - 1
_WHOSE = (CONNECT, HEADER, RESPONSE)
_KINDS = (ROUTES, CLIENTS, SERVERS)
_SEED = int.from_bytes(os.urandom(8), "big")  # so that nobody can craft a log whose names collide
_DAY_S = 86400
_AROUND_S = 4 * 3600
_YEARS_DAYS = 3 * 366
_FAR_S = 1 << 60
_ODD = 2  # what `reader_asked` answers of a line of a thread that it does not read
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_LONG_AGO_US = -(1 << 61)


class ReaderError(Exception):
    """The compiled reader hit a bug of its own; Python must read the log instead."""


@lru_cache(1)
def loaded() -> Any:
    """Return the loaded library; None if there is none for this platform."""
    path = Path(__file__).parent / f"reader-{platform.machine().lower()}.so.1"
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        return None
    pointer, size, number, small = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint32
    for name, result, arguments in (
        ("new", pointer, [ctypes.c_char_p, size]),
        ("free", None, [pointer]),
        ("place", None, [pointer, number, number]),
        ("scan", number, [pointer, pointer, size, size]),
        ("stopped", size, [pointer]),
        ("asked", small, [pointer]),
        ("judge", None, [pointer, small, small, ctypes.c_int64, small, small]),
        ("pass", None, [pointer]),
        ("begin", None, [pointer]),
        ("go_on", number, [pointer, pointer]),
        ("pair", number, [pointer, ctypes.c_char_p, size, ctypes.c_int64, small, small, ctypes.c_int64, small, small]),
        ("rejected", pointer, [pointer]),
        ("lines", number, [pointer]),
        ("absorb", number, [pointer, pointer]),
        ("want", number, [pointer, small, ctypes.c_char_p, size]),
        ("suspect", number, [pointer, pointer, size, pointer, size]),
        ("relax", None, [pointer]),
        ("export", number, [pointer, size]),
        ("words", pointer, [pointer]),
        ("blob", pointer, [pointer, ctypes.POINTER(number)]),
    ):
        function = getattr(found, f"reader_{name}")
        function.restype, function.argtypes = result, arguments
    return found


Leaves = Callable[[LogRecord], bool]  # whether lines like one of that record are left to Python


class Reader:
    """Counts the lines of one layout. `buffer` receives the text of a log before `scan`."""

    def __init__(
        self,
        layout: Layout,
        *,
        since: int,
        until: int,
        zone: tzinfo = UTC,
        only: str = "",
        is_exact: bool = False,
        is_careful: bool = False,
        leaves_errors: bool = False,
        leaves: Leaves | None = None,
        has_paths: bool = False,
        most: int = 0,
    ) -> None:
        self._library = loaded()
        least = {"failures": 499, "5xx": 500}.get(only, 0)
        common = [f"since {since}", f"until {until}", f"least {least}", f"seed {_SEED}", *_offsets(zone, until)]
        common.append(f"today {datetime.now(UTC).date().toordinal() - _EPOCH.toordinal()}")
        common += [f"most {most}"] if most else []
        common += ["exact"] if is_exact else []
        common += ["careful", *(f"leave {status}" for status in sorted(NOTED))] if is_careful else []
        common += ["paths", f"step {max(1, (until - since) // MOST_STEPS)}"] if has_paths else []
        common += ["pairs"] if layout.pairing and not leaves_errors else []
        text = "\n".join(layout.program).split("\nnext\n")
        self._program = "\nnext\n".join("\n".join((each, *common)) for each in text).encode()
        self.layout = layout
        self._is_exact = is_exact
        self._leaves_errors = leaves_errors
        self._leaves = leaves
        self._before: Reader | None = None  # reads the lines before a part
        self._make()

    def _make(self) -> None:
        """Make the compiled part, which has counted nothing."""
        program = self._program
        self._reader = ctypes.c_void_p(self._library.reader_new(program, len(program)) if self._library else None)
        if not self._reader:
            raise ReaderError("it does not know such a layout")
        self._byte = 0  # where the text of the buffer stands
        self._lines = Lines(self.layout.wrapper)  # of those left to Python
        # The bytes of the lines left to Python that repeat an earlier one; None if no line does, or Python reads all that may.
        self.repeats: set[int] | None = set() if self.layout.pairing and not self._leaves_errors else None
        self._memory = bytearray(CAPACITY + (CAPACITY >> 2) + _PAD)
        self.buffer = memoryview(self._memory)[:-_PAD]
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def __del__(self) -> None:
        if getattr(self, "_reader", None):
            self._library.reader_free(self._reader)

    def lines(self) -> int:
        """Return the number of counted lines."""
        return int(self._library.reader_lines(self._reader))

    def stands(self, part: int, byte: int) -> None:
        """Set the position of the text in the buffer: the number of its part, and the byte."""
        self._byte = byte
        self._library.reader_place(self._reader, part, byte)

    def begin(self, before: Sequence[bytes] = ()) -> None:
        """Begin the lines of another log, or of a part of one; `before` are the lines before that part, which do not count."""
        self._library.reader_begin(self._reader)
        if self.repeats is None:
            return
        self.repeats.clear()
        self._lines = Lines(self.layout.wrapper)
        if before:
            other = self._before = self._before or self._twin()
            other.begin()
            text = b"\n".join(before)[1 - len(other.buffer) :] + b"\n"
            other.buffer[: len(text)] = text
            other.scan(len(text))
            self._checked(self._library.reader_go_on(self._reader, other._reader))
            self._lines = other._lines

    def _twin(self) -> Reader:
        """Return a reader of the same lines that has counted nothing."""
        twin = copy.copy(self)
        twin._before = None
        twin._make()
        return twin

    def scan(self, length: int) -> list[tuple[int, int]]:
        """Count the lines in the first bytes of the buffer, which end with a line feed.

        Return the positions of the lines left to Python.
        """
        number, at = 0, 0
        while at < length:
            number = self._checked(self._library.reader_scan(self._reader, self._address, at, length))
            at = self._library.reader_stopped(self._reader)
            if at < length:  # a line of a new kind
                self._stopped(at)
        if not number:
            return []
        places = _array("I", self._library.reader_rejected(self._reader), number)
        return list(zip(places[::2], places[1::2], strict=True))

    def suspect(self, suspects: Suspects) -> None:
        """From now on, leave the lines of these requests in these seconds to Python, even though they appear healthy."""
        if suspects.seconds and suspects.marks:
            seconds, marks = array("q", suspects.seconds), array("I", suspects.marks)
            places = (seconds.buffer_info(), marks.buffer_info())
            self._checked(self._library.reader_suspect(self._reader, *places[0], *places[1]))

    def relax(self) -> None:
        """From now on, count failed requests too."""
        self._library.reader_relax(self._reader)

    def _stopped(self, at: int) -> None:
        """Answer the question about the line at which the scan stopped."""
        asked = self._library.reader_asked(self._reader)
        raw = bytes(self.buffer[at : at + _SAMPLE_BYTES]).split(b"\n", 1)[0]
        if asked == _ODD:
            self._pair(self._byte + at, raw)
            self._library.reader_pass(self._reader)
            return
        record = self.layout.parse(_text(raw))
        pairing = ALONE if record is None or self.layout.pairing is None else self.layout.pairing(record)
        is_such = record is not None and self._is_such(record, pairing, is_message=bool(asked))
        self._library.reader_judge(self._reader, is_such, *_numbers(record, pairing))

    def _is_such(self, record: LogRecord, pairing: Pairing, *, is_message: bool) -> bool:
        """Return whether Python and the reader agree on the kind of a line; otherwise all lines like it are left to Python.

        So are error lines that wait for other lines, or for the access lines of their requests if the access log is read too, and
        lines that repeat only one of the same client.
        """
        if record.at is None or is_request(record) == is_message or pairing.after or pairing.is_of_client:
            return False
        if self._leaves is not None and self._leaves(record):
            return False
        if record.pid is None and not pairing.is_alone:  # it names its thread in a way that only this reader knows
            return False
        if is_message and record.proxy is None and message_key(record) is None:  # its wording may count
            return False
        return not (is_message and self._leaves_errors and (waiting_of(record) is not None or not pairing.is_alone))

    def _pair(self, start: int, raw: bytes) -> None:
        """Record whether a line that Python reads, or the message that it ends, repeats an earlier one of its thread."""
        whole = self._lines.feed(start, raw)
        record = whole and self.layout.parse(_text(whole[1]))
        if not whole or not record or record.pid is None or self.layout.pairing is None or self.repeats is None:
            return
        thread = f"{record.pid}:tid {record.thread}" if record.thread else f"{record.pid}"
        at = _LONG_AGO_US if record.at is None else (record.at.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
        raw, numbers = thread.encode("utf-8", "surrogateescape"), _numbers(record, self.layout.pairing(record))
        if self._checked(self._library.reader_pair(self._reader, raw, len(raw), at, mark(record.client), *numbers)):
            self.repeats.add(whole[0])

    def absorb(self, other: Reader) -> None:
        """Add the counts of another reader of the same layout."""
        self._checked(self._library.reader_absorb(self._reader, other._reader))

    def counts(self, most: int, wanted: Counts, place: Callable[[Order], str] = str) -> Counts:
        """Return the counts.

        Routes, clients and servers are limited to the `most` frequent and failing ones, plus those in `wanted`.

        `place` formats the position of a line.
        """
        for kind in _KINDS:
            for name in wanted.rankings()[kind].total:
                raw = name.encode("utf-8", "surrogateescape")
                self._library.reader_want(self._reader, kind, raw, len(raw))
        size = self._checked(self._library.reader_export(self._reader, most))
        length = ctypes.c_uint64()
        begin = self._library.reader_blob(self._reader, ctypes.byref(length))
        blob = ctypes.string_at(begin, length.value) if length.value else b""
        words = _array("Q", self._library.reader_words(self._reader), size)
        return _Export(words, blob, self.layout, self._is_exact, place, self._leaves).counts()

    def _checked(self, answer: int) -> int:
        if answer == _FAILED:
            raise ReaderError("it failed")
        return int(answer)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape").rstrip("\r")


def _numbers(record: LogRecord | None, pairing: Pairing) -> tuple[bool, int, int, int]:
    """Return what the reader is told of a pairing: see src/pairs.rs."""
    return pairing.begins, round(pairing.within_s * 1e6), mark(record.code) if record else 0, mark(pairing.after)


class _Ended(NamedTuple):
    """One way in which requests ended, with a record of one of them."""

    outcome: Outcome
    like: LogRecord


class _Export:
    """Reads a reader's exported data, number by number: see `export` in src/reader.rs."""

    def __init__(
        self,
        words: array[int],
        blob: bytes,
        layout: Layout,
        is_exact: bool,
        place: Callable[[Order], str],
        leaves: Leaves | None,
    ) -> None:
        self._words, self._blob, self._layout = words, blob, layout
        self._is_exact = is_exact
        self._place = place
        self._leaves = leaves
        self._at = 0

    def counts(self) -> Counts:
        found = Counts(is_exact=self._is_exact)
        found.lines, number = (self._next() for _ in range(2))
        if not found.lines:
            return found
        found.fields = self._layout.fields
        ended = [self._shape(found) for _ in range(number)]
        for _ in range(self._next()):
            self._tried(found, ended)
        for kind in _KINDS:
            self._ranking(found, found.rankings()[kind], is_route=kind == ROUTES)
        for _ in range(self._next()):
            self._path(found)
        return found

    def _shape(self, found: Counts) -> _Ended | None:
        """Read one kind of lines; the first gives the meaning of all. Raises ReaderError if a later one has another meaning."""
        first, later = self._text(), self._text()
        part, byte, is_message, since, until, total = (self._next() for _ in range(6))
        minutes = self._minutes()
        if not total:
            return None
        record, other = self._record(first), self._record(later or first)
        if is_message == is_request(record) or is_message == is_request(other):
            raise ReaderError("Python does not read what it read")
        if self._leaves is not None:
            if self._leaves(record) or self._leaves(other):
                raise ReaderError("it counted a line that it was to leave")
            found.span(_signed(since), _signed(until))
        if not is_message:
            outcome = of(record)[0]
            if outcome != of(other)[0]:
                raise ReaderError("lines that it takes for alike are not")
            found.span(_signed(since), _signed(until))
            found.outcomes.setdefault(outcome, Minutes()).update(minutes)
            return _Ended(outcome, record)
        if (key := message_key(record)) != message_key(other):
            raise ReaderError("lines that it takes for alike are not")
        if key is not None:
            found.span(_signed(since), _signed(until))
            found.message(key, (part, byte), self._place((part, byte)), shown(first)).minutes.update(minutes)
        return None

    def _record(self, line: str) -> LogRecord:
        record = self._layout.parse(line.rstrip("\r"))
        if record is None or record.at is None:
            raise ReaderError("Python does not read what it read")
        return record

    def _tried(self, found: Counts, ended: list[_Ended | None]) -> None:
        name, total, last = self._raw(), self._next(), _signed(self._next())
        times, fails = [self._map() for _ in _WHOSE], self._minutes()
        number, place = int.from_bytes(name[:2], "little"), name[2] & 127
        end = ended[number] if number < len(ended) else None
        if end is None or place >= len(end.outcome.tries):
            return
        text = name[3:].decode("utf-8", "surrogateescape")
        where = text if name[2] & 128 else self._layout.where(text, end.like)
        tried = found.tries.setdefault((end.outcome, place, where), Tried())
        tried.count += total
        tried.last = max(tried.last, last)
        if end.outcome.counts_as_failed(place):
            if fails.total() != total:
                raise ReaderError("an attempt failed that it took for a good one")
            tried.minutes.update(fails)
        for whose, buckets in zip(_WHOSE, times, strict=True):
            if buckets:
                found.times.setdefault((whose, where), Counter()).update(buckets)

    def _ranking(self, found: Counts, ranking: Ranking, *, is_route: bool) -> None:
        number, ranking.distinct, ranking.lost, _ = (self._next() for _ in range(4))
        for _ in range(number):
            name, total, failed = self._text(), self._next(), self._next()
            ranking.total[name] = total
            if failed:
                ranking.failed[name] = failed
            if not any(self._words[self._at : self._at + 3]):  # nothing but counts: most clients
                self._at += 3
                continue
            times, statuses, minutes = self._map(), self._map(), self._minutes()
            if times:
                found.times[ROUTE, name] = times
            if not is_route or not statuses:
                continue
            for status, count in statuses.items():
                found.route_statuses[name, status] += count
            found.route_minutes[name] = minutes

    def _path(self, found: Counts) -> None:
        name, total, last, clients, refused = self._raw(), self._next(), _signed(self._next()), self._map(), self._map()
        server, zero, request = name[2:].decode("utf-8", "surrogateescape").partition("\0")
        if not zero:
            return  # the remainder after too many
        status = int.from_bytes(name[:2], "little")
        steps = refused.items() if status in REFUSALS else ()
        for at, count in steps:
            found.paths.add(server, request, status, at, count, clients)
        found.paths.add(server, request, status, last, 0 if steps else total)

    def _next(self) -> int:
        self._at += 1
        return self._words[self._at - 1]

    def _raw(self) -> bytes:
        begin, length = self._words[self._at : self._at + 2]
        self._at += 2
        return self._blob[begin : begin + length]

    def _text(self) -> str:
        return self._raw().decode("utf-8", "surrogateescape")

    def _minutes(self) -> Minutes:
        size, begin = self._words[self._at], self._at + 1
        self._at = begin + size
        return Minutes(array("q", self._words[begin : self._at].tobytes()), is_ordered=True)

    def _map(self) -> Counter[int]:
        size, begin = self._words[self._at], self._at + 1
        self._at = begin + 2 * size
        found: Counter[int] = Counter()
        if size:
            dict.update(found, zip(self._words[begin : self._at : 2], self._words[begin + 1 : self._at : 2], strict=True))
        return found


@lru_cache(4)
def _offsets(zone: tzinfo, until: int) -> tuple[str, ...]:
    """Return the offsets of the local clock from UTC and the local seconds for which each applies, in the years before `until`.

    The hours around a change are omitted: a local time there may mean two times, or none.
    """
    if zone is UTC:
        return (f"zone {-_FAR_S} {_FAR_S} 0",)
    last = min(until, int(datetime.now(UTC).timestamp()) + _DAY_S) // _DAY_S
    found: list[list[int]] = []
    for day in range(max(last - _YEARS_DAYS, 0), last + 1):
        offset = datetime.fromtimestamp(day * _DAY_S, UTC).astimezone(zone).utcoffset()
        shift = int(offset.total_seconds()) if offset is not None else 0
        if not found or found[-1][2] != shift:
            found.append([day * _DAY_S + shift + _AROUND_S, 0, shift])
        found[-1][1] = day * _DAY_S + shift
    return tuple(f"zone {since} {end} {shift}" for since, end, shift in found)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _array(kind: str, address: int, count: int) -> array[int]:
    found = array(kind)
    found.frombytes(ctypes.string_at(address, count * found.itemsize))
    return found
