"""From chunks of a log to its entries with their positions, and from a record to its tally."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from why502.logs.join import Waiting
from why502.logs.tallies import Kind
from why502.logs.window import Chunk
from why502.logs.zone import aware, moment
from why502.model.logs import LogFile, LogRecord, Sample
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.redaction import clean, redact

SAMPLE_CHARACTERS = 500
ENTRY_LINES = 200
ENTRY_CHARACTERS = 1 << 14
_NGINX = lazy(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[")
_NUMBERS = lazy(r"\b0x[0-9a-fA-F]+|\b[0-9a-fA-F]{16,}\b|\d{5,}")


class Window(NamedTuple):
    """The times that count, in seconds since the epoch, and the zone of lines that tell none."""

    since: float
    until: float
    zone: tzinfo = UTC

    def seconds(self, at: datetime) -> float:
        """Return a record's time in seconds since the epoch."""
        return aware(at, self.zone, self.since, self.until).timestamp()

    def holds(self, at: float) -> bool:
        """Return whether a time lies in the window."""
        return self.since <= at <= self.until


class Entry(NamedTuple):
    """One entry of a log, of one or several lines. `start` is the byte, `line` the number of its first line, where it was counted."""

    text: str
    start: int
    line: int | None


class Span:
    """What is told of one log in a LogFile, gathered while it is read."""

    def __init__(self) -> None:
        self.lines = self.unread = 0
        self.first, self.last = float("inf"), float("-inf")

    def see(self, at: float) -> None:
        """Note the time of a line in the window."""
        self.first, self.last = min(self.first, at), max(self.last, at)

    def value(self, path: str, format: str, *, reason: str = "", is_deleted: bool = False) -> LogFile:
        """Return the value."""
        return LogFile(
            path=path,
            format=format,
            lines=self.lines,
            unread=self.unread,
            first=moment(self.first),
            last=moment(self.last),
            reason=reason,
            is_deleted=is_deleted,
        )


def place(path: str, start: int, line: int | None) -> str:
    """Return where a line stands: `path:12`, or `path (byte 4711)` where lines were not counted."""
    return f"{path}:{line}" if line is not None else f"{path} (byte {start})"


def entries(chunks: Iterable[Chunk], continues: Callable[[str], bool] | None = None) -> Iterator[Entry]:
    """Yield the entries of a log; lines that `continues` says go on with the one before are joined to it, within limits."""
    return _grouped(_lines(chunks), continues)


def grouped(lines: Iterable[tuple[int, bytes]], continues: Callable[[str], bool] | None = None) -> Iterator[Entry]:
    """Yield the same from lines and the bytes where they begin; they are not counted."""
    return _grouped(((start, raw, None) for start, raw in lines), continues)


def _lines(chunks: Iterable[Chunk]) -> Iterator[tuple[int, bytes, int | None]]:
    """Yield the lines that are not empty with their first byte and number."""
    for chunk in chunks:
        start, number = chunk.start, chunk.line
        for raw in chunk.data.split(b"\n"):
            if raw:
                yield start, raw, number
            start += len(raw) + 1
            number = None if number is None else number + 1


def _grouped(lines: Iterable[tuple[int, bytes, int | None]], continues: Callable[[str], bool] | None) -> Iterator[Entry]:
    held: list[str] = []
    held_start, held_line, held_size = 0, None, 0
    for start, raw, number in lines:
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        goes_on = (
            held
            and continues is not None
            and not _NGINX.match(raw)
            and len(held) < ENTRY_LINES
            and held_size < ENTRY_CHARACTERS
            and continues(text)
        )
        if goes_on:
            held.append(text)
            held_size += len(raw) + 1
        else:
            if held:
                yield Entry("\n".join(held), held_start, held_line)
            held, held_start, held_line, held_size = [text], start, number, len(raw) + 1
    if held:
        yield Entry("\n".join(held), held_start, held_line)


_MILD = frozenset({"warn", "notice", "info", "debug"})  # levels of lines after which the request goes on, if they tell no failure


def kind_of(record: LogRecord, status: int | None = None) -> Kind | None:
    """Return the kind of tally that a record belongs to; None for a record without symptom, or that repeats the one before."""
    if record.symptom is None or record.is_repeat:
        return None
    return Kind(
        symptom=record.symptom,
        proxy=record.proxy,
        target=_clean(record.target),
        group=clean(record.group),
        server=clean(record.server),
        status=status,
        phase=record.phase,
        errno=record.errno,
        protocol=record.protocol,
        code=record.code,
        detail=normal(record.detail),
        process=clean(record.process),
        process_pid=record.process_pid,
        unit=clean(record.unit),
        file=normal(record.file),
        program=clean(record.program),
        named=record.causes[0] if record.causes else "",
        is_notice=record.proxy is not None and not record.is_gateway_failure and record.level in _MILD,
    )


def waiting_of(record: LogRecord) -> Waiting | None:
    """Return what an error line waits with for the access line of its request; None where it waits for none."""
    if not record.client or not record.request or record.is_final or not (record.is_gateway_failure or record.status is not None):
        return None
    kind = kind_of(record)
    return None if kind is None else Waiting(kind, record.status, record.is_gateway_failure)


def _clean(target: Target | None) -> Target | None:
    if target is None or str(target).isascii():
        return target
    return Target(host=clean(target.host), port=target.port, path=clean(target.path))


def normal(text: str) -> str:
    """Return a detail without what differs from line to line: long numbers, addresses in memory, secrets."""
    return _NUMBERS.sub("N", redact(text[:200])) if text else ""


def sample_of(text: str, path: str, start: int, line: int | None) -> Sample:
    """Return a line as evidence."""
    return Sample(
        source=place(path, start, line), text=redact(" ".join(text[: 4 * SAMPLE_CHARACTERS].split()))[:SAMPLE_CHARACTERS]
    )
