"""From the lines of one part to counts: lines that the compiled reader does not read are parsed here."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol
from zoneinfo import ZoneInfo

from why502.logs import native
from why502.logs.lines import Entry, Window, grouped, place
from why502.logs.scan.line_format import Parse
from why502.logs.scan.pieces import chunks, filled
from why502.logs.scan.told import is_request, said, shown
from why502.logs.stitching import Lines, Records, stitch
from why502.logs.window import LINE_BYTES, head
from why502.logs.wrappers import PARTIAL
from why502.model.errors import HostError
from why502.model.logs import LogRecord
from why502.redaction import clean, redact

if TYPE_CHECKING:
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

    def compiled(self, form: Form, sample: Callable[[], bytes]) -> native.Reader | None:
        """Return the compiled reader of such lines, if there is one; `sample` are some of them."""
        ...

    def check(self) -> None:
        """Keep within the bounds."""
        ...


class Reader:
    """Reads one part into the counts of a session."""

    def __init__(self, session: Session, part: Part, progress: Progress) -> None:
        self.session = session
        self.part = part
        self.ask = session.ask
        self.progress = progress
        self.counts = session.counts
        self.window = Window(self.ask.since, self.ask.until, zone(self.ask.localtime))
        self.at: int | None = None
        self.lines = Lines(part.form.wrapper)
        self.records = Records()
        self._earlier: list[bytes] = []  # the lines before the part
        self._native: dict[
            int, str
        ] = {}  # the line before one that the compiled reader left, where it read that; by the byte of the latter
        self.is_prose = False  # the line before was of an application or error log, whose entries may go on for lines

    @cached_property
    def parse(self) -> Parse:
        """Return what reads a line that the compiled reader does not."""
        return self.part.form.parser()

    def read(self, stream: BinaryIO) -> None:
        """Count the lines."""
        form = self.part.form
        self._earlier = self._before(stream)
        self.lines.begin_after(self._earlier)
        if not form.name:
            self._entries(stream)
        elif (fast := self.session.compiled(form, lambda: _sample(stream, self.part))) is not None:
            self._fast(stream, fast)
        elif form.is_error_log:
            self._entries(stream)
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

    def _followed(self, record: LogRecord) -> LogRecord:
        """Return what a record says after those before it; those before the part are read where that matters at all."""
        if self._earlier and not self.part.form.log_format and stitch(record.format) is not None:
            earlier, self._earlier = self._earlier, []
            for raw in earlier:
                if (before := self.parse(raw.decode("utf-8", "surrogateescape").rstrip("\r"))) is not None:
                    self.records.follow(before)
        return self.records.follow(record)

    def _plain(self, stream: BinaryIO) -> None:
        """Count lines of which each is an entry."""
        for start, raw in self._whole(stream):
            self._line(raw, start)

    def _whole(self, stream: BinaryIO, goes_on: Callable[[str], bool] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of the part and where each begins; long messages joined again."""
        end = 0
        for chunk in chunks(stream, self.part, goes_on):
            start = chunk.start
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
        left = self._left(stream, fast)
        if self.part.form.is_error_log:
            self._grouped(left)
        else:
            for start, raw in left:
                self._line(raw, start)
        self.session.check()

    def _left(self, stream: BinaryIO, fast: native.Reader) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that the compiled reader leaves and where each begins; long messages joined again."""
        for start, length in filled(stream, self.part, fast):
            text = fast.buffer
            fast.stands(self.part.index, start)
            done = 0
            for begin, end in fast.scan(length):
                if begin > done:
                    self._native[start + begin] = _line_before(text, begin)
                done = end
                raw = bytes(text[begin:end]).rstrip(b"\n")
                if raw and (found := self.lines.feed(start + begin, raw)) is not None:
                    yield found
            if length > done:
                self._native[start + length] = _line_before(text, length)
            self.progress(length)
        if self.lines.is_open:
            yield from self.lines.close(self._after(stream, self.part.end or 0))

    def _look_back(self, start: int) -> None:
        """Take note of the line before this one where the compiled reader read it: a line that tells no time has that of the one before."""
        before = self._native.get(start)
        record = None if before is None else self.parse(before)
        if record is not None:
            self.at = self.at if record.at is None else int(self.window.seconds(record.at) // 1)
            self.is_prose = bool(record.format) and not is_request(record)

    def _line(self, raw: bytes, start: int) -> None:
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        if not text.strip() or (text[0] == "#" and self.part.form.w3c):
            return
        self._record(self.parse(text), text, start)

    def _entries(self, stream: BinaryIO) -> None:
        self._grouped(self._whole(stream, self.part.form.continues()))

    def _grouped(self, lines: Iterator[tuple[int, bytes]]) -> None:
        goes_on = self.part.form.continues()
        for number, entry in enumerate(grouped(lines, goes_on)):
            if number == 0 and self.part.start and goes_on and goes_on(entry.text.split("\n", 1)[0]):
                continue  # the part before read it
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        self._record(self.parse(entry.text), entry.text, entry.start)

    def _record(self, record: LogRecord | None, text: str, start: int) -> None:
        order = (self.part.index, start)
        where = named(self.part.path)
        if record is not None:
            record = self._followed(record)
        form = self.part.form
        if record is None or record.at is None:
            self._look_back(start)
        self._native.pop(start, None)
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
            elif not self.ask.only or _is_wanted(record.status, self.ask.only):
                self.counts.add(record, at)
            return
        if (found := said(record)) is None:
            self.counts.lines += 1
        else:
            self.counts.say(found, at, order, place(where, start, None), shown(text))


def named(path: str) -> str:
    """Return the name of a log as people are told it."""
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


def _last_line(text: bytes) -> str:
    text = text.rstrip(b"\n")
    return text[text.rfind(b"\n") + 1 :].decode("utf-8", "surrogateescape").rstrip("\r")


def _sample(stream: BinaryIO, part: Part) -> bytes:
    """Return some of the lines of a part, all but the first and the last whole."""
    if not part.start:
        return head(stream)
    stream.seek(part.start - 1)
    found = stream.read(_SAMPLE_BYTES)
    return found[found.find(b"\n") + 1 :]


def _is_wanted(status: int | None, only: str) -> bool:
    from why502.logs.verdicts import is_failure

    return is_failure(status) and (only != "5xx" or (status or 0) >= 500)


@lru_cache(4)
def zone(localtime: bytes) -> tzinfo:
    """Return the zone of a tzfile(5), UTC for none."""
    return ZoneInfo.from_file(io.BytesIO(localtime)) if localtime else UTC
