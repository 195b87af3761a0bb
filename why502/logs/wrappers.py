"""The wrapper around every line of a log, detected once per log and then removed from each line.

Pasted text has wrappers of all kinds, nested in each other: `unwrap` handles those. A wrapper here applies to a whole log, has
one strict form, and takes microseconds to remove.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from why502.logs.unwrap import short_time
from why502.model import foreign_json
from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.model.times import of_epoch, of_iso, whole_number

DOCKER = "docker"
CRI = "cri"
JOURNAL_JSON = "journal-json"
RFC3164 = "rfc3164"
RFC5424 = "rfc5424"
SYSLOG_ISO = "syslog-iso"
TIMESTAMP = "timestamp"
COMPOSE = "compose"
PARTIAL = frozenset({DOCKER, CRI})  # wrappers that split a long message into several lines
STRICT = frozenset({DOCKER, CRI, JOURNAL_JSON, RFC5424})  # these cannot be mistaken for anything else
_FITTING = 0.9  # share of the lines that must have the wrapper

_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_PRIORITY = r"(?:<\d{1,3}>)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TAG = r"(?P<program>[\w./@-]{1,48})(?:\[\d{1,10}\])?: ?"
_TEXTS = {
    CRI: rf"(?P<stamp>{_ISO}) (?:stdout|stderr) [FP](?::\w{{1,20}})* ?",
    RFC5424: rf"<\d{{1,3}}>1 (?P<stamp>{_ISO}|-) \S{{1,255}} (?P<program>\S{{1,48}}) \S{{1,128}} \S{{1,32}} (?:-|(?:\[(?:[^\]\\]|\\.){{0,2000}}\])++) ?(?:\ufeff)?",
    RFC3164: rf"{_PRIORITY}(?P<stamp>{_MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{{1,6}})?) (?:[\w.:-]{{1,255}} )?{_TAG}",
    SYSLOG_ISO: rf"{_PRIORITY}(?P<stamp>{_ISO}) [\w.:-]{{1,255}} {_TAG}",
    TIMESTAMP: rf"(?P<stamp>{_ISO}) ",
    COMPOSE: r"(?P<program>[A-Za-z][\w.-]{0,119}) *\| ?",
}
_PATTERNS = {name: lazy(text, re.ASCII) for name, text in _TEXTS.items()}
_ANY = lazy("|".join(_TEXTS.values()).replace("?P<stamp>", "?:").replace("?P<program>", "?:"), re.ASCII)

_Entry = TypeVar("_Entry", bound=msgspec.Struct)


class Unwrapped(NamedTuple):
    """A line without its wrapper, with the wrapper's time as written and its program ("" if it names none)."""

    line: str
    stamp: str = ""
    program: str = ""


Remove = Callable[[str], Unwrapped | None]
Parse = Callable[[str], LogRecord | None]


class _Docker(msgspec.Struct):
    """A line of Docker's json-file driver."""

    log: str
    time: str


class _Journal(msgspec.Struct):
    """An entry of `journalctl -o json`; a message that is not UTF-8 is a list of its bytes."""

    MESSAGE: str | list[int]
    realtime: str | None = msgspec.field(default=None, name="__REALTIME_TIMESTAMP")
    source: str | None = msgspec.field(default=None, name="_SOURCE_REALTIME_TIMESTAMP")
    identifier: str | list[int] | None = msgspec.field(default=None, name="SYSLOG_IDENTIFIER")
    command: str | list[int] | None = msgspec.field(default=None, name="_COMM")


def likely(lines: Sequence[str]) -> list[str]:
    """Return the names of the wrappers that (nearly) all of these lines have, the most specific one first."""
    if not lines or not _are_most(_is_in_any, lines):
        return []
    return [name for name in (DOCKER, JOURNAL_JSON, *_PATTERNS) if _are_most(REMOVERS[name], lines)]


def _is_in_any(line: str) -> bool:
    """Return whether a line may have a wrapper. Most logs have none, and one expression for all is faster than each in turn."""
    return _ANY.match(line) is not None or line.lstrip().startswith("{")


def _are_most(has: Callable[[str], object], lines: Sequence[str]) -> bool:
    """Return whether nearly all lines have a wrapper; the first lines are enough to recognise a log without it."""
    spare = len(lines) * (1 - _FITTING)
    for line in lines:
        if not has(line):
            spare -= 1
            if spare < 0:
                return False
    return True


def removed(name: str, lines: Sequence[str]) -> list[str]:
    """Return the lines without their wrapper; lines that have none are unchanged."""
    remove = REMOVERS[name]
    return [line if (found := remove(line)) is None else found.line for line in lines]


def within(name: str, parse: Parse) -> Parse:
    """Return a parser for lines in a wrapper. The wrapper's time and program are used if the line itself has none."""
    remove = REMOVERS[name]

    def read(line: str) -> LogRecord | None:
        found = remove(line)
        if found is None:
            return parse(line) if "\n" not in line else _entry(line)
        if "\n" in found.line and name != JOURNAL_JSON:
            return _entry(line)
        return _with_wrapper(found, parse(found.line))

    def _entry(text: str) -> LogRecord | None:
        """Return the record of an entry of several lines, each in a wrapper."""
        first, *more = text.split("\n")
        found = remove(first) or Unwrapped(first)
        return _with_wrapper(found, parse("\n".join([found.line, *removed(name, more)])))

    def _with_wrapper(found: Unwrapped, record: LogRecord | None) -> LogRecord | None:
        if record is None or (record.at is not None and record.program):
            return record
        at = record.at or time_of(name, found.stamp)
        return msgspec.structs.replace(record, at=at, program=record.program or found.program)

    return read


def of_inner(name: str, continues: Callable[[str], bool]) -> Callable[[str], bool]:
    """Return the same function for lines in a wrapper."""
    remove = REMOVERS[name]

    def read(line: str) -> bool:
        found = remove(line)
        return continues(line if found is None else found.line)

    return read


def time_of(name: str, stamp: str) -> datetime | None:
    """Return the time in a wrapper of this name; None if it has none."""
    if name == RFC3164:
        return short_time(stamp)
    if name == JOURNAL_JSON:
        micros = whole_number(stamp)
        return None if micros is None else of_epoch(micros / 1e6)
    return of_iso(stamp)


def _pattern(name: str) -> Remove:
    compiled = _PATTERNS[name]
    has_stamp, has_program = "stamp" in compiled.groupindex, "program" in compiled.groupindex

    def remove(line: str) -> Unwrapped | None:
        match = compiled.match(line)
        if match is None:
            return None
        program = match["program"].rpartition("/")[2] if has_program and name != COMPOSE else ""
        return Unwrapped(line[match.end() :], match["stamp"] if has_stamp else "", program)

    return remove


def _docker() -> Remove:
    decoder = msgspec.json.Decoder(_Docker)

    def remove(line: str) -> Unwrapped | None:
        found = _decoded(decoder, line)
        return None if found is None else Unwrapped(found.log.rstrip("\r\n"), found.time)

    return remove


def _journal() -> Remove:
    decoder = msgspec.json.Decoder(_Journal)

    def remove(line: str) -> Unwrapped | None:
        found = _decoded(decoder, line)
        stamp = found and (found.source or found.realtime)
        if found is None or not stamp:
            return None
        text, program = found.MESSAGE, found.identifier or found.command
        if isinstance(text, list):
            text = bytes(byte for byte in text if 0 <= byte < 256).decode("utf-8", "surrogateescape")
        return Unwrapped(text.rstrip("\r\n"), stamp, program if isinstance(program, str) else "")

    return remove


def _decoded(decoder: msgspec.json.Decoder[_Entry], line: str) -> _Entry | None:
    """Return the entry; None if the line is not one. Bytes that are not UTF-8 become U+FFFD."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        return decoder.decode(line)
    except (ValueError, RecursionError):
        pass
    if line.isascii():
        return None
    try:
        return msgspec.convert(foreign_json.decode(line), decoder.type)
    except (ValueError, RecursionError):
        return None


REMOVERS: dict[str, Remove] = {DOCKER: _docker(), JOURNAL_JSON: _journal(), **{name: _pattern(name) for name in _PATTERNS}}
