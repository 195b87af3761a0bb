"""Turns chunks of a log into entries with positions, and a record into its tally."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from why502.logs.join import Waiting
from why502.logs.tallies import Kind
from why502.logs.zone import aware
from why502.model.logs import LogRecord, Sample
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.redaction import clean, redact

SAMPLE_CHARACTERS = 500
ENTRY_LINES = 200
ENTRY_CHARACTERS = 1 << 14
_NGINX = lazy(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[")
_NUMBERS = lazy(r"\b0x[0-9a-fA-F]+|\b[0-9a-fA-F]{16,}\b|\d{5,}")


class Window(NamedTuple):
    """The time window in seconds since the epoch, and the zone for lines without one. `near`: see `zone.aware`."""

    since: float
    until: float
    zone: tzinfo = UTC
    near: float = 0.0

    def seconds(self, at: datetime) -> float:
        """Return a record's time in seconds since the epoch."""
        return aware(at, self.zone, self.since, self.until, self.near).timestamp()

    def holds(self, at: float) -> bool:
        """Return whether a time is inside the window."""
        return self.since <= at <= self.until


class Entry(NamedTuple):
    """One entry of a log, of one or more lines. `start` is the byte, `line` the number of its first line (None: not counted)."""

    text: str
    start: int
    line: int | None


def place(path: str, start: int, line: int | None) -> str:
    """Return the position of a line: `path:12`, or `path (byte 4711)` if lines were not counted."""
    return f"{path}:{line}" if line is not None else f"{path} (byte {start})"


def grouped(lines: Iterable[tuple[int, bytes]], continues: Callable[[str], bool] | None = None) -> Iterator[Entry]:
    """Yield the entries from lines and the bytes where they start; line numbers are not counted."""
    return _grouped(((start, raw, None) for start, raw in lines), continues)


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


_MILD = frozenset({"warn", "notice", "info", "debug"})  # levels at which the request continues, unless the line reports a failure


def kind_of(record: LogRecord, status: int | None = None) -> Kind | None:
    """Return the kind of tally that a record belongs to; None for one without a symptom, or that repeats the previous one."""
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
    """Return the data with which an error line waits for the access line of its request; None if it does not wait."""
    if not record.client or not record.request or record.is_final or not (record.is_gateway_failure or record.status is not None):
        return None
    kind = kind_of(record)
    return None if kind is None else Waiting(kind, record.status, record.is_gateway_failure)


def _clean(target: Target | None) -> Target | None:
    if target is None or str(target).isascii():
        return target
    return Target(host=clean(target.host), port=target.port, path=clean(target.path))


def normal(text: str) -> str:
    """Return a detail without the parts that differ from line to line: long numbers, memory addresses, secrets."""
    return _NUMBERS.sub("N", redact(text[:200])) if text else ""


def sample_of(text: str, path: str, start: int, line: int | None) -> Sample:
    """Return a line as evidence."""
    return Sample(
        source=place(path, start, line), text=redact(" ".join(text[: 4 * SAMPLE_CHARACTERS].split()))[:SAMPLE_CHARACTERS]
    )
