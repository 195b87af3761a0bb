"""From the lines of one part to counts: lines that the compiled reader does not read are parsed here."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol
from zoneinfo import ZoneInfo

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs import native
from why502.logs.held import Origin, is_noted, line_of, mark, of_access, order_of
from why502.logs.lines import Entry, Window, grouped, place, sample_of, waiting_of
from why502.logs.scan.counts import Said, name_of
from why502.logs.scan.line_format import Parse
from why502.logs.scan.pieces import chunks, filled, line_begin
from why502.logs.stitching import Lines, Records
from why502.logs.window import LINE_BYTES, NUMBERED_BYTES, Chunk, count_lines, head
from why502.logs.wrappers import PARTIAL
from why502.model.errors import HostError
from why502.model.logs import AGENT, LogRecord
from why502.redaction import clean, redact

if TYPE_CHECKING:
    from why502.logs.join import Suspects
    from why502.logs.scan.counts import Counts
    from why502.logs.scan.line_format import Form
    from why502.logs.scan.work import Ask, Part, Progress

_TEXT = 200
_SAMPLE_BYTES = 1 << 16
_ZEROS = bytes(512)  # what stands in place of the lines that were cut from a file, which were many
_AFTER_BYTES = 8 * LINE_BYTES  # behind a part, that are looked through for the end of its last message


class Session(Protocol):
    """What a reader needs of the session that it adds to."""

    ask: Ask
    counts: Counts
    zone: tzinfo
    suspects: Suspects

    def compiled(self, form: Form, sample: Callable[[], bytes]) -> native.Reader | None:
        """Return the compiled reader of such lines, if there is one; `sample` are some of them."""
        ...

    def check(self) -> None:
        """Keep within the bounds."""
        ...


class Reader:
    """Reads one part into the counts of a session."""

    def __init__(
        self, session: Session, part: Part, progress: Progress, origin: Origin | None = None, parse: Parse | None = None
    ) -> None:
        self.session = session
        self.part = part
        self.ask = session.ask
        self.progress = progress
        self.origin = origin or Origin("standard input" if part.path == "-" else part.path)
        self.parse = parse or part.form.parser()
        self.block = Chunk(b"", 0, None)
        self.counts = session.counts
        self.window = Window(self.ask.since, self.ask.until, session.zone)
        self.at: int | None = None
        self.first: int | None = None  # number of the first line, where it is known
        self.lines = Lines(part.form.wrapper)
        self.records = Records()
        self.is_prose = False  # the line before was of an application or error log, whose entries may go on for lines

    def read(self, stream: BinaryIO) -> None:
        """Count the lines."""
        form = self.part.form
        if self.ask.is_summary and 0 < self.part.start <= NUMBERED_BYTES:
            self.first = count_lines(stream, line_begin(stream, self.part.start))
            stream.seek(0)
        before = self._before(stream)
        self.lines.begin_after(before)
        for raw in before:
            self._remember(raw)
        if form.is_error_log or not form.name:
            self._entries(stream)
        elif (fast := self.session.compiled(form, lambda: _sample(stream, self.part))) is not None:
            self._fast(stream, fast)
        else:
            self._plain(stream)

    def _before(self, stream: BinaryIO) -> list[bytes]:
        """Return the last lines before the part, which may tell what its first ones mean."""
        form, start = self.part.form, self.part.start
        if not start or self.part.end is None or (form.log_format and form.wrapper not in PARTIAL):
            return []
        begin = max(start - LINE_BYTES, 0)
        stream.seek(begin)
        data = stream.read(start - begin)
        if not data.endswith(b"\n"):  # the line that goes on beyond the edge belongs to the part before
            rest = stream.read(LINE_BYTES)
            data += rest[: rest.find(b"\n") + 1]
        stream.seek(0)
        return data.split(b"\n")[1 if begin else 0 : -1]

    def _remember(self, raw: bytes) -> None:
        """Take note of a line before the part, without counting it."""
        if not self.part.form.log_format and (record := self.parse(raw.decode("utf-8", "surrogateescape").rstrip("\r"))):
            self.records.follow(record)

    def _plain(self, stream: BinaryIO) -> None:
        """Count lines of which each is an entry."""
        for start, raw in self._whole(stream):
            self._line(raw, start)

    def _whole(self, stream: BinaryIO, goes_on: Callable[[str], bool] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of the part and where each begins; long messages joined again."""
        end = 0
        for chunk in chunks(stream, self.part, goes_on):
            start = chunk.start
            self._begin(chunk.data, start)
            for raw in chunk.data.split(b"\n"):
                text = raw.lstrip(b"\0") if raw.startswith(_ZEROS) else raw  # a file that was emptied while it was written to
                if text and (found := self.lines.feed(start + len(raw) - len(text), text)) is not None:
                    yield found
                start += len(raw) + 1
            end = chunk.start + len(chunk.data)
            self.progress(len(chunk.data))
            self.session.check()
        if self.lines.is_open:
            yield from self.lines.close(self._after(stream, end))
        if self.part.end is not None and end < self.part.end and stream.seek(0, io.SEEK_END) < self.part.end:
            raise HostError("it was truncated while being read", "run it again")

    def _after(self, stream: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the lines behind the part, as far as the end of its last message may stand there."""
        if self.part.end is None:
            return
        stream.seek(end)
        for raw in stream.read(_AFTER_BYTES).split(b"\n"):
            yield end, raw
            end += len(raw) + 1

    def _fast(self, stream: BinaryIO, fast: native.Reader) -> None:
        for start, length in filled(stream, self.part, fast):
            text = fast.buffer
            self._begin(text[:length], start)
            after = 0
            for begin, end in fast.scan(length):
                if begin != after:  # the line before was not left
                    self._look_back(text, begin)
                after = end
                self._left(bytes(text[begin:end]).rstrip(b"\n"), start + begin)
            if length != after:
                self._look_back(text, length)
            self.progress(length)
            if self.counts.failed.is_full:
                fast.relax()
        if self.lines.is_open:
            for begin, raw in self.lines.close(self._after(stream, self.part.end or 0)):
                self._line(raw, begin)
        self.session.check()

    def _left(self, raw: bytes, start: int) -> None:
        """Read a line that the compiled reader left; one that is a part of a message waits for the others."""
        if raw and (found := self.lines.feed(start, raw)) is not None:
            self._line(found[1], found[0])

    def _look_back(self, text: memoryview, begin: int) -> None:
        """Take the time of the line before, which the compiled reader read: one that tells none belongs to it, in the window or not."""
        if self.ask.is_windowed and begin:
            before = bytes(text[max(begin - LINE_BYTES, 0) : begin]).rstrip(b"\n")
            record = self.parse(before[before.rfind(b"\n") + 1 :].decode("utf-8", "surrogateescape"))
            if record is not None and record.at is not None:
                self.at = int(self.window.seconds(record.at) // 1)

    def _line(self, raw: bytes, start: int) -> None:
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        if not text.strip() or (text[0] == "#" and self.part.form.w3c):
            return
        self._record(self.parse(text), text, start)

    def _entries(self, stream: BinaryIO) -> None:
        goes_on = self.part.form.continues()
        for number, entry in enumerate(grouped(self._whole(stream, goes_on), goes_on)):
            if number == 0 and self.part.start and goes_on and goes_on(entry.text.split("\n", 1)[0]):
                continue  # the part before read it
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        self._record(self.parse(entry.text), entry.text, entry.start)

    def _record(self, record: LogRecord | None, text: str, start: int) -> None:
        order = (self.part.index, start)
        where = self.origin.path
        if record is not None:
            record = self.records.follow(record)
        form = self.part.form
        if record is None or (not record.format and (not form.name or form.log_format)):
            if self.at is not None and not self.ask.since <= self.at <= self.ask.until:
                return
            if self.is_prose:
                self.counts.lines += 1
            elif not self.ask.only:
                self.counts.skip(order, place(where, start, None), clean(redact(text[:_TEXT])))
            return
        if record.at is not None:
            self.at = int(self.window.seconds(record.at) // 1)
        at = self.at
        if at is not None and not self.ask.since <= at <= self.ask.until:
            return
        self.is_prose = bool(record.format) and not is_request(record)
        if is_request(record):
            if at is None or (record.at is None and self.part.form.log_format):  # its own time is none
                self.counts.skip(order, place(where, start, None), clean(redact(text[:_TEXT])))
            elif AGENT in text:  # our own probe: nobody's request
                self.counts.note(at)
                if is_noted(record):
                    self._hold(record, at, text, start, is_own=True)
            elif not self.ask.only or _is_wanted(record.status, self.ask.only):
                self._request(record, at, text, start)
            return
        if record.symptom is None or record.is_repeat:
            self.counts.lines += 1
            return
        if self.ask.most_held and (waiting := waiting_of(record)) is not None and at is not None:
            number = self.counts.errors.number(waiting)
            if number is not None:
                self.counts.errors.add(number, line_of(record, at, order_of(*order)))
        said = Said(
            record.symptom.value,
            record.proxy or record.program or record.format,
            name_of(record.target, record.group),
            clean(record.server[:255]),
            record.causes[0] if record.causes else "",
            record.is_gateway_failure,
        )
        self.counts.say(said, at, order, place(where, start, None), clean(redact(" ".join(text[:600].split())))[:400])

    def _request(self, record: LogRecord, at: int, text: str, start: int) -> None:
        """Count an access line; hold it where an error line may tell more of its request."""
        is_doubtful = False
        if self.ask.most_held and record.format == NGINX_ACCESS:
            is_suspect = not (has_note := is_noted(record)) and self.session.suspects.has(at, request_line(record))
            if has_note or is_suspect:
                is_doubtful = self._hold(record, at, text, start, is_suspect=is_suspect)
        self.counts.add(record, at, is_doubtful=is_doubtful)
        if self.ask.is_summary and record.status is not None:
            server = self.origin.server or record.server or record.host
            self.counts.paths.add(server, record.request, record.status, at, clients=(mark(record.client),))

    def _hold(self, record: LogRecord, at: int, text: str, start: int, *, is_own: bool = False, is_suspect: bool = False) -> bool:
        """Return whether there was room."""
        failed = self.counts.failed
        failed.is_full |= len(failed) >= self.ask.most_held
        if failed.is_full:
            return False
        number = failed.number(of_access(record, self.origin, is_own=is_own, is_suspect=is_suspect))
        if number is None or not failed.add(number, line_of(record, at, order_of(self.part.index, start))):
            return False
        if self.ask.is_summary and failed.wants_sample(number):
            failed.sample(sample_of(text, self.origin.path, start, self._number(start)))
        return True

    def _begin(self, data: bytes | memoryview, start: int) -> None:
        """Take note of the next block of lines, and of the number of its first one."""
        before, self.block = self.block, Chunk(b"", start, None)
        if not self.ask.is_summary or start > NUMBERED_BYTES:
            return
        number = before.line
        if number is None and not before.data:
            number = 1 if not start else self.first
        elif number is not None:
            number += before.data.count(b"\n")
        self.block = Chunk(bytes(data), start, number)

    def _number(self, start: int) -> int | None:
        """Return the number of the line that begins at a byte, where lines are counted."""
        block = self.block
        if block.line is None or not block.start <= start < block.start + len(block.data):
            return None
        return block.line + block.data.count(b"\n", 0, start - block.start)


def request_line(record: LogRecord) -> str:
    """Return the request line; "" where the log has only a part of it, which no error line is found by."""
    return record.request if " " in record.request else ""


def _sample(stream: BinaryIO, part: Part) -> bytes:
    """Return some of the lines of a part, all but the first and the last whole."""
    if not part.start:
        return head(stream)
    stream.seek(part.start - 1)
    found = stream.read(_SAMPLE_BYTES)
    return found[found.find(b"\n") + 1 :]


def is_request(record: LogRecord) -> bool:
    """Return whether a record is the line of a request in an access log, and not what an error log says of one."""
    is_access = record.format == NGINX_ACCESS or record.is_final or record.request or record.attempts or record.target
    return record.status is not None and not record.level and bool(is_access)


def _is_wanted(status: int | None, only: str) -> bool:
    from why502.logs.verdicts import is_failure

    return is_failure(status) and (only != "5xx" or (status or 0) >= 500)


@lru_cache(4)
def zone(localtime: bytes) -> tzinfo:
    """Return the zone of a tzfile(5), UTC for none."""
    return ZoneInfo.from_file(io.BytesIO(localtime)) if localtime else UTC
