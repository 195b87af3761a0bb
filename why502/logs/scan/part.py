"""Reads one part of a log and counts it. The same bytes give the same counts on every machine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import BinaryIO

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs import native
from why502.logs.held import Origin
from why502.logs.join import Suspects
from why502.logs.lines import Window, place
from why502.logs.native import layout
from why502.logs.scan.counts import MOST_KEYS, Counts, Order
from why502.logs.scan.details import Details
from why502.logs.scan.line_format import Form, Parse
from why502.logs.scan.message_key import is_request, message_key, shown
from why502.logs.scan.reading import Carried, Each, Reader, named
from why502.logs.scan.reading import zone as zone_of
from why502.logs.scan.source import open_
from why502.logs.scan.work import Part, Progress, ScanQuery
from why502.logs.stitching import Records
from why502.logs.window import READ_ERRORS, reason_of
from why502.model.errors import HostError

_MOST_READERS = 8  # compiled readers at a time, each with its own memory
_ALL = 1 << 40
_MOST_EXACT = 1 << 31  # names, where none is given up
_SAMPLE_LINES = 60
_FITTING = 0.3  # share of a sample that the compiled reader must accept


class Layouts:
    """The layouts of forms for the compiled reader: checked once for all threads of a run, by whoever comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Form, layout.Layout | None] = {}

    def of(self, form: Form, query: ScanQuery, local: tzinfo, sample: Callable[[], bytes]) -> layout.Layout | None:
        """Return the layout of a form that agrees with Python on a sample; None if Python must read such lines."""
        if not query.is_fast or query.is_of_fields or native.loaded() is None:
            return None
        with self._lock:
            if form not in self._found:
                self._found[form] = _layout(form, query, local, sample())
            return self._found[form]


class Session:
    """Reads parts one after the other into one sum. Each thread has its own session; `absorb` adds up their sums.

    `each` is called with every request that Python reads; those that the compiled reader counts are in `apart`. `details`: for a
    diagnosis, what counts of a log that is not an nginx access log.
    """

    def __init__(
        self,
        query: ScanQuery,
        zone: tzinfo | None = None,
        suspects: Suspects | None = None,
        each: Each | None = None,
        layouts: Layouts | None = None,
        details: Details | None = None,
    ) -> None:
        self.query = query
        self.each = each
        self.details = details
        self.zone = zone or zone_of(query.localtime, query.shift_s)
        self.suspects = suspects or Suspects()
        self.counts = Counts(is_exact=query.is_exact)
        self._layouts = layouts or Layouts()
        self._compiled: dict[Form, native.Reader | None] = {}
        self._paths: dict[int, str] = {}  # of the parts, by number

    def read(self, part: Part, progress: Progress = lambda _: None) -> tuple[int, int, str]:
        """Read a part. Return its number of lines, the number of unread lines, and the reason why its end is missing, or "".

        If `progress` raises KeyboardInterrupt, the lines read so far count and the sum is marked as partial.
        """
        try:
            with open_(part.path) as stream:
                return self.take(stream, part, progress)
        except HostError as error:
            return 0, 0, error.reason
        except READ_ERRORS as error:
            return 0, 0, reason_of(error)

    def take(
        self,
        stream: BinaryIO,
        part: Part,
        progress: Progress = lambda _: None,
        origin: Origin | None = None,
        parse: Parse | None = None,
        carried: Carried | None = None,
    ) -> tuple[int, int, str]:
        """Read a part from an open stream; same result as `read`. `parse` replaces the form's parser.

        `carried`: state from the part before.
        """
        self._paths[part.index] = part.path
        before, unparsed, reason = self._lines(), self.counts.unparsed, ""
        try:
            Reader(self, part, progress, origin, parse, carried).read(stream)
        except KeyboardInterrupt:
            self.counts.is_partial = True
        except HostError as error:
            reason = error.reason
        except READ_ERRORS as error:
            reason = reason_of(error)
        return self._lines() - before, self.counts.unparsed - unparsed, reason

    def total(self, most: int = MOST_KEYS) -> Counts:
        """Return the sum. From the compiled readers, only the `most` frequent and failing routes, clients and servers."""
        for form in tuple(self._compiled):
            self._flush(form, most)
        return self.counts

    def apart(self) -> tuple[Counts, Counts]:
        """Return what Python counted, and what the compiled readers counted. The session must not be used afterwards."""
        mine, self.counts = self.counts, Counts(is_exact=self.query.is_exact)
        return mine, self.total()

    def absorb(self, other: Session) -> None:
        """Add the sum of another session."""
        self.counts.merge(other.counts)
        self.check()
        self._paths |= other._paths
        for form, its in other._compiled.items():
            mine = self._compiled.get(form)
            if its is None:
                continue
            if mine is None:
                self._compiled[form] = its
            elif mine.layout.program == its.layout.program:
                mine.absorb(its)
            else:
                self._take(its, MOST_KEYS)

    def compiled(self, form: Form, sample: Callable[[], bytes]) -> native.Reader | None:
        """Return the compiled reader of such lines, if any; it may hold counts of earlier parts.

        `sample` returns some of the lines.
        """
        if form not in self._compiled:
            if len(self._compiled) >= _MOST_READERS:
                self._flush(next(iter(self._compiled)), MOST_KEYS)
            made = self._layouts.of(form, self.query, self.zone, sample)
            self._compiled[form] = None if made is None else self._reader(form, made)
        return self._compiled[form]

    def _reader(self, form: Form, made: layout.Layout) -> native.Reader:
        query = self.query
        reader = native.Reader(
            made,
            since=query.since,
            until=query.until,
            zone=self.zone,
            only=query.only,
            is_exact=query.is_exact,
            is_careful=bool(query.most_held) and form.name == NGINX_ACCESS,
            leaves_errors=bool(query.most_held),
            leaves=None if self.details is None else self.details.has,
            has_paths=query.is_summary or query.has_paths,
            most=_MOST_EXACT if query.is_exact else 0,
        )
        reader.suspect(self.suspects)
        return reader

    def check(self) -> None:
        """Enforce the memory bounds."""
        self.counts.prune()

    def _flush(self, form: Form, most: int) -> None:
        if (reader := self._compiled.pop(form)) is not None:
            self._take(reader, most)

    def _take(self, reader: native.Reader, most: int) -> None:
        self.counts.merge(reader.counts(_ALL if self.query.is_exact else most, self.counts, self._place))
        self.check()

    def _place(self, order: Order) -> str:
        return place(named(self._paths.get(order[0], "")), order[1], None)

    def _lines(self) -> int:
        return self.counts.lines + sum(reader.lines() for reader in self._compiled.values() if reader is not None)


def _layout(form: Form, query: ScanQuery, local: tzinfo, sample: bytes) -> layout.Layout | None:
    """Return the layout of a form that agrees with Python on the sample."""
    lines = [line for line in sample.split(b"\n")[:-1] if line][:_SAMPLE_LINES]
    texts = [line.decode("utf-8", "surrogateescape").rstrip("\r") for line in lines]
    for made in layout.of_form(form, texts):
        with contextlib.suppress(native.ReaderError):
            if _agrees(made, lines, texts, Window(query.since, query.until, local)):
                return made
    return None


def _agrees(made: layout.Layout, lines: Sequence[bytes], texts: Sequence[str], window: Window) -> bool:
    """Return whether the compiled reader accepts a fair share of the lines, and reads all of those as Python does."""
    reader = native.Reader(made, since=-(1 << 60), until=1 << 60, zone=window.zone, is_exact=True)
    text = b"".join(line + b"\n" for line in lines)[: len(reader.buffer)]
    text = text[: text.rfind(b"\n") + 1]
    reader.buffer[: len(text)] = text
    left = {begin for begin, _ in reader.scan(len(text))} if text else set()
    slow, begin, records = Counts(is_exact=True), 0, Records()
    for raw, line in zip(lines, texts, strict=True):
        if begin >= len(text):
            break
        record = made.parse(line)
        record = record and records.follow(record)
        if begin not in left:
            if record is None or record.at is None:
                return False
            at = int(window.seconds(record.at) // 1)
            if is_request(record):
                slow.add(record, at)
            elif (found := message_key(record)) is not None:
                slow.add_message(found, at, (0, begin), "", shown(line))
            else:
                slow.lines += 1
        begin += len(raw) + 1
    if slow.lines < _FITTING * len(lines):
        return False
    fast = reader.counts(1 << 30, slow)
    return _comparable(fast) == _comparable(slow)


def _comparable(counts: Counts) -> tuple[object, ...]:
    rankings = tuple((dict(one.total), {name: count for name, count in one.failed.items() if count}) for one in counts.rankings())
    tries = {key: (tried.count, tried.minutes) for key, tried in counts.tries.items()}
    times = {key: dict(found) for key, found in counts.times.items()}
    messages = {key: (equal.order, equal.text, equal.minutes) for key, equal in counts.messages.items()}
    return counts.lines, counts.first, counts.last, counts.outcomes, tries, rankings, times, counts.route_statuses, messages
