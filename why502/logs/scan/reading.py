"""Counts the lines of one part; lines that the compiled reader leaves are parsed here."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol
from zoneinfo import ZoneInfo

from msgspec import structs

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs import native
from why502.logs.held import Origin, is_noted, line_of, mark, of_access, order_of
from why502.logs.lines import Entry, Window, grouped, place, sample_of, waiting_of
from why502.logs.scan import fields, messages
from why502.logs.scan.counts import Order
from why502.logs.scan.details import Place, is_ending
from why502.logs.scan.line_format import Parse
from why502.logs.scan.message_key import is_request, message_key, shown
from why502.logs.scan.pieces import chunks, filled, line_begin
from why502.logs.split_lines import Lines
from why502.logs.stitching import Records, stitch
from why502.logs.verdicts import is_failure
from why502.logs.window import LINE_BYTES, NUMBERED_BYTES, Chunk, count_lines, head
from why502.logs.wrappers import PARTIAL
from why502.logs.zone import shifted
from why502.model.errors import HostError
from why502.model.logs import AGENT, LogRecord
from why502.redaction import clean, redact

if TYPE_CHECKING:
    from why502.logs.join import Suspects
    from why502.logs.scan.counts import Counts
    from why502.logs.scan.details import Details
    from why502.logs.scan.line_format import Form
    from why502.logs.scan.work import Part, Progress, ScanQuery

_TEXT = 200
_SAMPLE_BYTES = 1 << 16
_ZEROS = bytes(512)  # the start of a file that was truncated while a program kept writing to it
_AFTER_BYTES = 8 * LINE_BYTES  # searched after a part for the end of its last message


Each = Callable[[LogRecord, int, str], None]  # a request, the second in which it ended, its line


class Session(Protocol):
    """The parts of a session that a reader uses."""

    query: ScanQuery
    counts: Counts
    zone: tzinfo
    suspects: Suspects
    each: Each | None
    details: Details | None

    def compiled(self, form: Form, sample: Callable[[], bytes]) -> native.Reader | None:
        """Return the compiled reader of such lines, if any; `sample` returns some of them."""
        ...

    def check(self) -> None:
        """Enforce the memory bounds."""
        ...


@dataclass(slots=True)
class Carried:
    """State of the previous part that the next lines need. `is_of_before`: there was a previous part."""

    records: Records = field(default_factory=Records)
    at: int | None = None
    is_prose: bool = False
    is_of_before: bool = False


class Reader:
    """Reads one part into the counts of a session."""

    def __init__(
        self,
        session: Session,
        part: Part,
        progress: Progress,
        origin: Origin | None = None,
        parse: Parse | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.session = session
        self.part = part
        self.query = session.query
        self.details = session.details
        self.progress = progress
        self.origin = origin or Origin(named(part.path))
        self.parse = parse or part.form.parser()
        self.block = Chunk(b"", 0, None)
        self.counts = session.counts
        self.window = Window(self.query.since, self.query.until, session.zone, self.query.near)
        self.carried = carried or Carried()
        self._is_followed = carried is not None
        self.at = self.carried.at
        self.first: int | None = None  # number of the first line, if known
        self.lines = Lines(part.form.wrapper)
        self.records = self.carried.records
        form = part.form
        self.conditions = fields.Conditions(self.query.where, form)
        self.asked = fields.reader(self.query.by, form) if self.query.by else None
        self._earlier: list[bytes] = []  # the lines before the part
        # The line before a line that the compiled reader left, if the reader read it; keyed by the byte of the latter.
        self._native: dict[int, str] = {}
        self._repeats: set[int] | None = None  # see `native.Reader.repeats`
        self._is_cut = False  # the file became shorter than the part
        self._end = 0  # end of the bytes given to the compiled reader
        # Whether the previous line belongs to an application or error log, whose entries may span several lines.
        self.is_prose = self.carried.is_prose

    def read(self, stream: BinaryIO) -> None:
        """Count the lines."""
        form = self.part.form
        if self.query.is_summary and 0 < self.part.start <= NUMBERED_BYTES:
            self.first = count_lines(stream, line_begin(stream, self.part.start))
            stream.seek(0)
        self._earlier = [] if self.carried.is_of_before else self._before(stream)
        self.lines.begin_after(self._earlier)
        if not form.name:
            self._entries(stream)
        elif not self._needs_python() and (fast := self.session.compiled(form, lambda: _sample(stream, self.part))) is not None:
            self._fast(stream, fast)
        elif form.is_error_log:
            self._entries(stream)
        else:
            self._plain(stream)
        self.counts.seen |= self.conditions.seen
        if self._is_followed:
            self._look_back(self._end)  # up to the last line, from which the next part continues
            self.carried.at, self.carried.is_prose, self.carried.is_of_before = self.at, self.is_prose, True
        if self._is_cut:
            raise HostError("it was truncated while being read", "run it again")

    def _needs_python(self) -> bool:
        """Return whether lines may repeat some of a part that was read before, and whose stream Python holds."""
        return self._is_followed and not self.query.most_held and stitch(self.part.form.name) is not None

    def _before(self, stream: BinaryIO) -> list[bytes]:
        """Return the last lines before the part, which may be needed to interpret its first ones."""
        form, start = self.part.form, self.part.start
        if not start or self.part.end is None or (form.log_format and form.wrapper not in PARTIAL):
            return []
        begin = max(start - LINE_BYTES, 0)
        stream.seek(begin)
        data = stream.read(start - begin)
        if not data.endswith(b"\n"):  # a line that crosses the edge belongs to the previous part
            rest = stream.read(LINE_BYTES)
            data += rest[: rest.find(b"\n") + 1]
        stream.seek(0)
        return data.split(b"\n")[1 if begin else 0 : -1]

    def _followed(self, record: LogRecord, start: int) -> LogRecord:
        """Return a record corrected by the ones before it. Records before the part are read only if the format needs them."""
        if self._repeats is not None and record.pid is not None:  # the compiled reader knows the other lines of its thread
            return structs.replace(record, is_repeat=True) if start in self._repeats else record
        if self._earlier and not self.part.form.log_format and stitch(record.format) is not None:
            earlier, self._earlier = self._earlier, []
            for raw in earlier:
                if (before := self.parse(raw.decode("utf-8", "surrogateescape").rstrip("\r"))) is not None:
                    self.records.follow(before)
        return self.records.follow(record)

    def _plain(self, stream: BinaryIO) -> None:
        """Count lines where each is an entry of its own."""
        for start, raw in self._whole(stream):
            self._line(raw, start)

    def _whole(self, stream: BinaryIO, goes_on: Callable[[str], bool] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of the part and the byte where each starts, with long messages joined."""
        end = 0
        for chunk in chunks(stream, self.part, goes_on):
            start = chunk.start
            self._begin(chunk.data, start)
            for raw in chunk.data.split(b"\n"):
                # A file that was truncated while a program kept writing to it
                text = raw.lstrip(b"\0") if raw.startswith(_ZEROS) else raw
                if text and (found := self.lines.feed(start + len(raw) - len(text), text)) is not None:
                    yield found
                start += len(raw) + 1
            end = chunk.start + len(chunk.data)
            self.progress(len(chunk.data))
            self.session.check()
        if self.lines.is_open:
            yield from self.lines.close(self._after(stream, end))
        self._is_cut = self.part.end is not None and end < self.part.end and stream.seek(0, io.SEEK_END) < self.part.end

    def _after(self, stream: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the lines after the part, as far as they may hold the end of its last message."""
        if self.part.end is None:
            return
        stream.seek(end)
        for raw in stream.read(_AFTER_BYTES).split(b"\n"):
            yield end, raw
            end += len(raw) + 1

    def _fast(self, stream: BinaryIO, fast: native.Reader) -> None:
        fast.begin(self._earlier)
        self._repeats = fast.repeats
        left = self._left(stream, fast)
        if self.part.form.is_error_log:
            self._grouped(left)
        else:
            for start, raw in left:
                self._line(raw, start)
        self.session.check()

    def _left(self, stream: BinaryIO, fast: native.Reader) -> Iterator[tuple[int, bytes]]:
        """Yield the lines left by the compiled reader and the byte where each starts, with long messages joined."""
        for start, length in filled(stream, self.part, fast):
            text = fast.buffer
            fast.stands(self.part.index, start)
            self._end = start + length
            self._begin(text[:length], start)
            done = 0
            for begin, end in fast.scan(length):
                if begin > done:
                    self._native[start + begin] = _line_before(text, begin)
                done = end
                raw = bytes(text[begin:end]).rstrip(b"\n")
                if raw and (found := self.lines.feed(start + begin, raw)) is not None:
                    yield found
            if length > done:
                self._native[self._end] = _line_before(text, length)
            self.progress(length)
            if self.counts.failed.is_full:
                fast.relax()
        if self.lines.is_open:
            yield from self.lines.close(self._after(stream, self.part.end or 0))

    def _look_back(self, start: int) -> None:
        """Record the previous line if the compiled reader read it: a line without a time gets the time of the line before."""
        before = self._native.get(start)
        record = None if before is None else self.parse(before)
        if record is not None:
            self.at = self.at if record.at is None else int(self.window.seconds(record.at) // 1)
            self.is_prose = bool(record.format) and not is_request(record)

    def _line(self, raw: bytes, start: int) -> None:
        if self.conditions.exclude(raw):
            self.counts.lines += 1
            return
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        if not text.strip() or (text[0] == "#" and (self.part.form.w3c or self.part.form.has_comments)):
            return
        self._record(self.parse(text), text, start)

    def _entries(self, stream: BinaryIO) -> None:
        self._grouped(self._whole(stream, self.part.form.continues()))

    def _grouped(self, lines: Iterator[tuple[int, bytes]]) -> None:
        goes_on = self.part.form.continues()
        for number, entry in enumerate(grouped(lines, goes_on)):
            if number == 0 and self.part.start and goes_on and goes_on(entry.text.split("\n", 1)[0]):
                continue  # the previous part read it
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        self._record(self.parse(entry.text), entry.text, entry.start)

    def _record(self, record: LogRecord | None, text: str, start: int) -> None:
        order = (self.part.index, start)
        where = self.origin.path
        if record is not None:
            record = self._followed(record, start)
        form = self.part.form
        if record is None or record.at is None or not record.format:
            self._look_back(start)
        self._native.pop(start, None)
        if record is None or (not record.format and self.details is None and (not form.name or form.log_format)):
            if self.at is not None and not self.query.since <= self.at <= self.query.until:
                return
            if self.is_prose:
                self.counts.lines += 1
            elif not self.query.only:
                self.counts.skip(order, place(where, start, None), clean(redact(text[:_TEXT])))
                if not form.log_format:
                    self._unknown(record, text, order, where)
            return
        exact = None if record.at is None else self.window.seconds(record.at)
        if exact is not None:
            self.at = int(exact // 1)
        at = self.at
        is_inside = at is None or self.query.since <= at <= self.query.until
        if self.details is not None and exact is not None:
            self.details.date(self.counts, exact, is_inside=is_inside)
        if not is_inside:
            return
        self.is_prose = bool(record.format) and not is_request(record)
        if not self.conditions.hold(record, text):
            self.counts.lines += 1
            return
        if self.details is not None:
            self._detail(self.details, record, text, start, exact)
            return
        if is_request(record):
            if at is None or (record.at is None and self.part.form.log_format):  # the line has no time of its own
                self.counts.skip(order, place(where, start, None), clean(redact(text[:_TEXT])))
            elif AGENT in text:  # our own probe, not a request of a client
                self.counts.note(at)
                if is_noted(record):
                    self._hold(record, at, text, start, is_own=True)
            elif not self.query.only or _is_wanted(record.status, self.query.only):
                self._request(record, at, text, start)
            return
        if (found := message_key(record)) is None:
            self.counts.lines += 1
            if not record.is_repeat and record.proxy is None:  # a line of an application
                self._unknown(record, text, order, where)
            return
        if self.query.most_held and at is not None and (waiting := waiting_of(record)) is not None:
            number = self.counts.errors.number(waiting)
            if number is not None:
                self.counts.errors.add(number, line_of(record, at, order_of(*order)))
        self.counts.add_message(found, at, order, place(where, start, None), shown(text))

    def _detail(self, details: Details, record: LogRecord, text: str, start: int, exact: float | None) -> None:
        """Count a line for a diagnosis, with its details. `exact`: its time in seconds, if it has one of its own."""
        where = Place(self.origin.path, (self.part.index, start), start, self._number)
        if self.at is None:
            if details.wait(record, text, where):
                self.counts.lines += 1
            else:
                self.counts.skip(where.order, place(where.path, start, self._number(start)), clean(redact(text[:_TEXT])))
            return
        at = self.at if exact is None else exact
        if is_ending(record) and AGENT in text:  # our own probe
            self.counts.note(self.at)
            return
        if is_ending(record) and is_request(record):
            self._request(record, self.at, text, start, is_doubtful=details.has(record))
        else:
            self.counts.note(self.at)
        details.count(self.counts, record, at, text, where)

    def _unknown(self, record: LogRecord | None, text: str, order: Order, where: str) -> None:
        """Count a message that no rule matches under its wording, if it looks like an error."""
        if (wording := messages.wording(record, text)) is None:
            return
        at = self.at if record is None or record.at is None else int(self.window.seconds(record.at) // 1)
        self.counts.add_wording(wording, at, order, place(where, order[1], None), shown(text))

    def _request(self, record: LogRecord, at: int, text: str, start: int, *, is_doubtful: bool = False) -> None:
        """Count an access line; hold it if an error line may add details about its request."""
        if self.query.most_held and record.format == NGINX_ACCESS:
            is_suspect = not (has_note := is_noted(record)) and self.session.suspects.has(at, request_line(record))
            if has_note or is_suspect:
                is_doubtful = self._hold(record, at, text, start, is_suspect=is_suspect)
        self.counts.add(record, at, is_doubtful=is_doubtful)
        if self.session.each is not None:
            self.session.each(record, at, text)
        if self.asked is not None:
            self.counts.asked.add(self.asked(record, text), is_failure(record.status))
        if self.query.is_summary and record.status is not None:
            server = record.server or record.host
            self.counts.paths.add(server, record.request, record.status, at, clients=(mark(record.client),))

    def _hold(self, record: LogRecord, at: int, text: str, start: int, *, is_own: bool = False, is_suspect: bool = False) -> bool:
        """Hold an access line. Return False if there was no room."""
        failed = self.counts.failed
        failed.is_full |= len(failed) >= self.query.most_held
        if failed.is_full:
            return False
        number = failed.number(of_access(record, self.origin, is_own=is_own, is_suspect=is_suspect))
        if number is None or not failed.add(number, line_of(record, at, order_of(self.part.index, start))):
            return False
        if self.query.is_summary and failed.wants_sample(number):
            failed.sample(sample_of(text, self.origin.path, start, self._number(start)))
        return True

    def _begin(self, data: bytes | memoryview, start: int) -> None:
        """Record the start of the next block of lines, and the number of its first line."""
        before, self.block = self.block, Chunk(b"", start, None)
        if not self.query.is_summary or start > NUMBERED_BYTES:
            return
        number = before.line
        if number is None and not before.data:
            number = 1 if not start else self.first
        elif number is not None:
            number += before.data.count(b"\n")
        self.block = Chunk(bytes(data), start, number)

    def _number(self, start: int) -> int | None:
        """Return the number of the line that starts at a byte, if lines are counted."""
        block = self.block
        if block.line is None or not block.start <= start < block.start + len(block.data):
            return None
        return block.line + block.data.count(b"\n", 0, start - block.start)


def named(path: str) -> str:
    """Return the display name of a log."""
    return "standard input" if path == "-" else path


def _line_before(text: memoryview, end: int) -> str:
    """Return the line that ends before a byte."""
    size = 1 << 10
    while True:
        found = bytes(text[max(end - size, 0) : end]).rstrip(b"\n")
        begin = found.rfind(b"\n") + 1
        if begin or size >= min(LINE_BYTES, end):
            return found[begin:].decode("utf-8", "surrogateescape").rstrip("\r")
        size *= 8


def request_line(record: LogRecord) -> str:
    """Return the request line; "" if the log has only a part of it, because error lines cannot be matched by that."""
    return record.request if " " in record.request else ""


def _sample(stream: BinaryIO, part: Part) -> bytes:
    """Return some of the lines of a part; all except the first and the last are complete."""
    if not part.start:
        return head(stream)
    stream.seek(part.start - 1)
    found = stream.read(_SAMPLE_BYTES)
    return found[found.find(b"\n") + 1 :]


def _is_wanted(status: int | None, only: str) -> bool:
    return is_failure(status) and (only != "5xx" or (status or 0) >= 500)


@lru_cache(4)
def zone(localtime: bytes, shift_s: int = 0) -> tzinfo:
    """Return the zone of a tzfile(5), UTC for none; with `shift_s`, one in which the same clock face is so much later."""
    found = ZoneInfo.from_file(io.BytesIO(localtime)) if localtime else UTC
    return shifted(found, shift_s) if shift_s else found
