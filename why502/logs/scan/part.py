"""One part of one log, from its bytes to its counts. Part after part, on any machine, it is the same function of the same bytes."""

from __future__ import annotations

import atexit
import io
import queue
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from functools import cached_property, lru_cache
from typing import BinaryIO
from zoneinfo import ZoneInfo

from why502.logs.formats.nginx_access import NAME as NGINX_ACCESS
from why502.logs.lines import Entry, Window, entries, place
from why502.logs.redact import clean, redact
from why502.logs.scan import kernel
from why502.logs.scan.counts import Counts, Said
from why502.logs.scan.form import Form, Parse
from why502.logs.scan.source import open_
from why502.logs.window import BLOCK_BYTES, LINE_BYTES, READ_ERRORS, Chunk, blocks
from why502.model.base import Value
from why502.model.errors import HostError
from why502.model.logs import LogRecord

_TEXT = 200
_BLOCK_BYTES = 1 << 18  # of a compressed log at a time: what comes before damage counts
Progress = Callable[[int], None]


class Ask(Value, frozen=True, kw_only=True):
    """What is wanted of every line. `since`, `until`: seconds since the epoch, both count. `only`: "", "failures" or "5xx"."""

    since: int = -(1 << 60)
    until: int = 1 << 60
    localtime: bytes = b""  # the tzfile(5) that times without zone are in
    only: str = ""
    is_exact: bool = False
    is_fast: bool = True  # with the kernel, where it is installed


class Part(Value, frozen=True, kw_only=True):
    """The lines of a file that begin in a range of bytes. Of a compressed one (`end` None) all."""

    path: str
    form: Form
    index: int = 0  # among all parts
    start: int = 0
    end: int | None = None


class Crowded(Exception):
    """There is more to tell apart than fits; it must be read in order, part by part."""


class Session:
    """Reads one part after the other into one sum.

    `is_ordered`: the parts are all and in order, so that what is too much may be given up. Else Crowded is raised then.
    """

    def __init__(self, ask: Ask, *, is_ordered: bool = False) -> None:
        self.ask = ask
        self.is_ordered = is_ordered
        self.counts = Counts(is_exact=ask.is_exact)
        self._fast: tuple[Form, kernel.Kernel] | None = None

    def read(self, part: Part, progress: Progress = lambda _: None) -> tuple[int, int, str]:
        """Read a part. Return how many lines it has, how many were not read, and why its end is missing, or "".

        When `progress` raises KeyboardInterrupt, what was read until then counts, and that it is not all.
        """
        before, unfit, why = self._lines(), self.counts.unfit, ""
        try:
            with open_(part.path) as stream:
                _Reader(self, part, progress).read(stream)
        except KeyboardInterrupt:
            self.counts.is_partial = True
        except HostError as error:
            why = error.why
        except READ_ERRORS as error:
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else f"damaged or cut short: {error}"
        return self._lines() - before, self.counts.unfit - unfit, why

    def total(self) -> Counts:
        """Return the sum."""
        self.flush()
        return self.counts

    def pack(self) -> tuple[Counts, Form | None, bytes]:
        """Return the sum for another session to absorb, what the kernel holds as it stands."""
        return (self.counts, None, b"") if self._fast is None else (self.counts, self._fast[0], self._fast[1].pack())

    def absorb(self, counts: Counts, form: Form | None, packed: bytes) -> None:
        """Add the sum of another session. Raises Crowded."""
        self.counts.merge(counts)
        if form is not None and (fast := self.fast(form)) is not None and not fast.absorb(packed):
            self.flush()
            fast.absorb(packed)
        self.check()

    def fast(self, form: Form) -> kernel.Kernel | None:
        """Return the kernel that reads such lines, if there is one; it may hold counts of earlier parts."""
        if self._fast is not None and self._fast[0] == form:
            return self._fast[1]
        self.flush()
        self._fast = None
        if (found := _kernel(form, self.ask)) is not None:
            found.reset()
            self._fast = form, found
        return found

    def flush(self) -> None:
        """Take over what the kernel holds."""
        if self._fast is not None:
            self.counts.merge(self._fast[1].counts())
            self._fast[1].reset()
            self.check()

    def check(self) -> None:
        """Keep within the bounds. Raises Crowded."""
        if self.is_ordered:
            self.counts.prune()
        elif self.counts.is_crowded or (self._fast is not None and not self.ask.is_exact and self._fast[1].is_crowded()):
            raise Crowded

    def _lines(self) -> int:
        return self.counts.lines + (self._fast[1].lines() if self._fast else 0)


class _Reader:
    """Reads one part."""

    def __init__(self, session: Session, part: Part, progress: Progress) -> None:
        self.session = session
        self.part = part
        self.ask = session.ask
        self.progress = progress
        self.counts = session.counts
        self.window = Window(self.ask.since, self.ask.until, _zone(self.ask.localtime))
        self.is_windowed = self.ask.since > Ask().since or self.ask.until < Ask().until
        self.at: int | None = None
        self.is_prose = False  # the line before was of an application or error log, whose entries may go on for lines

    @cached_property
    def parse(self) -> Parse:
        """Return what reads a line that the kernel does not."""
        return self.part.form.parser()

    def read(self, stream: BinaryIO) -> None:
        """Count the lines."""
        form = self.part.form
        if form.is_error_log or not form.name:
            self._entries(stream)
        elif (fast := self.session.fast(form)) is not None:
            self._fast(stream, fast)
        else:
            for chunk in _chunks(stream, self.part):
                self._lines(chunk)
                self.progress(len(chunk.data))
                self.session.check()

    def _fast(self, stream: BinaryIO, fast: kernel.Kernel) -> None:
        for begin_, size in _filled(stream, self.part, fast):
            start, length, done = begin_, size, 0
            while done < length:
                if done:
                    rest = bytes(fast.buffer[done:length])
                    fast.buffer[: len(rest)] = rest
                    start, length, done = start + done, len(rest), 0
                done, odd = fast.scan(length, self.ask.only)
                if odd:
                    text = fast.buffer
                    for begin, end in odd:
                        self._look_back(text, begin)
                        self._line(bytes(text[begin:end]).rstrip(b"\n"), start + begin)
                if done < length:
                    self.session.flush()
            self._look_back(fast.buffer, length)
            self.progress(size)
        self.session.check()

    def _look_back(self, text: memoryview, begin: int) -> None:
        """Take the time of the line before, which the kernel read: one that tells none belongs to it, in the window or not."""
        if self.is_windowed and begin:
            before = bytes(text[max(begin - LINE_BYTES, 0) : begin]).rstrip(b"\n")
            record = self.parse(before[before.rfind(b"\n") + 1 :].decode("utf-8", "surrogateescape"))
            if record is not None and record.at is not None:
                self.at = int(self.window.seconds(record.at) // 1)

    def _lines(self, chunk: Chunk) -> None:
        start = chunk.start
        for raw in chunk.data.split(b"\n"):
            if raw:
                self._line(raw, start)
            start += len(raw) + 1

    def _line(self, raw: bytes, start: int) -> None:
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        if not text.strip() or (text[0] == "#" and self.part.form.w3c):
            return
        self._record(self.parse(text), text, start)

    def _entries(self, stream: BinaryIO) -> None:
        from why502.logs.formats.nginx_error import continues

        goes_on = continues if self.part.form.is_error_log else None
        whole = entries(_told(_chunks(stream, self.part, goes_on=goes_on), self.progress), goes_on)
        for number, entry in enumerate(whole):
            if number == 0 and self.part.start and goes_on and goes_on(entry.text.split("\n", 1)[0]):
                continue  # the part before read it
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        self._record(self.parse(entry.text), entry.text, entry.start)

    def _record(self, record: LogRecord | None, text: str, start: int) -> None:
        order = (self.part.index, start)
        where = "standard input" if self.part.path == "-" else self.part.path
        if record is None or (not record.format and not self.part.form.name):
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
        self.is_prose = bool(record.format) and not _is_request(record)
        if _is_request(record):
            if at is None:
                self.counts.skip(order, place(where, start, None), clean(redact(text[:_TEXT])))
            elif not self.ask.only or _is_wanted(record.status, self.ask.only):
                self.counts.add(record, at)
            return
        if record.symptom is None:
            self.counts.lines += 1
            return
        said = Said(
            record.symptom.value,
            record.proxy or record.program or record.format,
            clean(str(record.target)) if record.target else clean(record.group),
            clean(record.server[:255]),
            record.causes[0] if record.causes else "",
            record.is_gateway_failure,
        )
        self.counts.say(said, at, order, place(where, start, None), clean(redact(" ".join(text[:600].split())))[:400])


def _is_request(record: LogRecord) -> bool:
    """Return whether a record is the line of a request in an access log, and not what an error log says of one."""
    is_access = record.format == NGINX_ACCESS or record.request or record.attempts or record.target
    return record.status is not None and not record.level and bool(is_access)


def _is_wanted(status: int | None, only: str) -> bool:
    from why502.logs.verdicts import is_failure

    return is_failure(status) and (only != "5xx" or (status or 0) >= 500)


@lru_cache(1)
def _kernel(form: Form, ask: Ask) -> kernel.Kernel | None:
    if (
        not form.log_format
        or not ask.is_fast
        or kernel.program(form.log_format, form.escape) is None
        or not kernel.is_available()
    ):
        return None
    return kernel.Kernel(form.log_format, form.escape, ask.since, ask.until, is_exact=ask.is_exact)


atexit.register(_kernel.cache_clear)  # before the interpreter takes wasmtime's modules apart


@lru_cache(4)
def _zone(localtime: bytes) -> tzinfo:
    return ZoneInfo.from_file(io.BytesIO(localtime)) if localtime else UTC


def _told(source: Iterator[Chunk], progress: Progress) -> Iterator[Chunk]:
    for chunk in source:
        yield chunk
        progress(len(chunk.data))


def _filled(stream: BinaryIO, part: Part, fast: kernel.Kernel) -> Iterator[tuple[int, int]]:
    """Yield where the kernel's buffer begins in the log and how many bytes of whole lines it holds, until the part is read."""
    if part.end is None:
        yield from _filled_by(_ahead(blocks(stream, _BLOCK_BYTES)), fast)
        return
    position = _line_begin(stream, part.start)
    left = 0
    while position + left < part.end:
        room = fast.buffer[left:]
        got = _read_into(stream, room[: part.end - position - left])
        if not got:
            break
        size = left + got
        if end := _last_feed(fast.buffer, size):
            yield position, end
        rest = bytes(fast.buffer[end:size]) if size - end < LINE_BYTES else b""
        position += size - len(rest)
        left = len(rest)
        fast.buffer[:left] = rest
    if left:  # the last line ends beyond the part
        rest = stream.read(LINE_BYTES)
        rest = rest[: rest.find(b"\n") + 1] or rest + b"\n"
        fast.buffer[left : left + len(rest)] = rest
        yield position, left + len(rest)


def _filled_by(source: Iterator[bytes], fast: kernel.Kernel) -> Iterator[tuple[int, int]]:
    position = size = 0
    for block in source:
        for begin in range(0, len(block), BLOCK_BYTES):
            piece = block[begin : begin + BLOCK_BYTES]
            fast.buffer[size : size + len(piece)] = piece
            size += len(piece)
            if end := _last_feed(fast.buffer, size):
                yield position, end
            rest = bytes(fast.buffer[end:size]) if size - end < LINE_BYTES else b""
            position += size - len(rest)
            size = len(rest)
            fast.buffer[:size] = rest
    if size:
        fast.buffer[size] = 10
        yield position, size + 1


def _last_feed(buffer: memoryview, size: int) -> int:
    """Return where the last whole line ends."""
    begin = size
    while begin:
        begin, end = max(begin - 4096, 0), begin
        if (found := bytes(buffer[begin:end]).rfind(b"\n")) >= 0:
            return begin + found + 1
    return 0


def _read_into(stream: BinaryIO, room: memoryview) -> int:
    got = stream.readinto(room)  # type: ignore[attr-defined]
    return got or 0


def _line_begin(stream: BinaryIO, start: int) -> int:
    """Return where the first line begins that begins at `start` or later; the stream stands there."""
    if not start:
        stream.seek(0)
        return 0
    position = start - 1
    stream.seek(position)
    while block := stream.read(1 << 16):
        if (found := block.find(b"\n")) >= 0:
            position += found + 1
            break
        position += len(block)
    stream.seek(position)
    return position


def _chunks(stream: BinaryIO, part: Part, goes_on: Callable[[str], bool] | None = None) -> Iterator[Chunk]:
    """Yield the lines of a part; with `goes_on`, also those behind it that belong to its last entry."""
    start = _line_begin(stream, part.start) if part.end is not None else 0
    source = _ahead(blocks(stream, _BLOCK_BYTES)) if part.end is None else iter(lambda: stream.read(BLOCK_BYTES), b"")
    rest = b""
    for block in source:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if not end:
            if len(rest) > LINE_BYTES:
                start, rest = start + len(rest), b""
            continue
        data = data[:end]
        if part.end is not None and start + len(data) >= part.end:
            yield from _until(data, start, part.end, goes_on)
            return
        yield Chunk(data, start, None)
        start += len(data)
    if rest and (part.end is None or start < part.end):
        yield Chunk(rest, start, None)


def _until(data: bytes, start: int, end: int, goes_on: Callable[[str], bool] | None) -> Iterator[Chunk]:
    if start >= end:
        return
    cut = data.find(b"\n", max(end - start - 1, 0)) + 1
    while goes_on is not None and cut < len(data):
        following = data[cut : data.find(b"\n", cut)]
        if not goes_on(following.decode("utf-8", "surrogateescape")):
            break
        cut += len(following) + 1
    yield Chunk(data[: cut or len(data)], start, None)


def _ahead(source: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same, read ahead by a thread: decompression and counting go on side by side, since both release the interpreter."""
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(4)
    is_over = threading.Event()

    def fill() -> None:
        try:
            for block in source:
                while not is_over.is_set():
                    try:
                        waiting.put(block, timeout=0.5)
                        break
                    except queue.Full:
                        continue
                if is_over.is_set():
                    return
            end: BaseException | None = None
        except BaseException as error:  # noqa: BLE001 - raised again where it is read
            end = error
        while not is_over.is_set():
            try:
                waiting.put(end, timeout=0.5)
                return
            except queue.Full:
                continue

    threading.Thread(target=fill, daemon=True).start()
    try:
        while (block := waiting.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        is_over.set()
