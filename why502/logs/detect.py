"""Detects log formats from their content, and parses a line of any of them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import cast

import msgspec

from why502 import registry
from why502.logs import stamps
from why502.logs.formats import Format, formats, named
from why502.logs.unwrap import LIMIT, Inner, peel, unwrap
from why502.model.logs import LogRecord

_LINES = 500  # only this many lines of a sample are read
_SURE = 0.3  # share of the sample that must match
_ALIKE = 0.9  # share that must look alike, so that nothing else is tried


def detect(sample: list[str], inner: Callable[[str], Inner] = unwrap) -> str:
    """Return the name of the format that most lines of the sample have, also inside a wrapper; "" if none matches.

    `inner` removes wrappers.
    """
    sample = [line[:LIMIT] for line in sample[:_LINES]]
    if name := by_looks(sample):
        return name
    name, share = _best(sample)
    if share < _SURE:
        name, share = _best([inner(line).line for line in sample])
    return name if share >= _SURE else ""


def by_looks(sample: list[str]) -> str:
    """Return the format that nearly all lines of a sample resemble, loading only that; "" if all formats must be tried."""
    for (product, module), looks in _looks().items():
        if sum(1 for line in sample if any(look.search(line) for look in looks)) > _ALIKE * len(sample):
            found = cast(Format, import_module(f"why502.gateways.{product}.{module}"))
            return found.NAME if found.fits(sample) > _ALIKE else ""
    return ""


@lru_cache(1)
def _looks() -> dict[tuple[str, str], list[re.Pattern[str]]]:
    found: dict[tuple[str, str], list[re.Pattern[str]]] = {}
    for part in registry.parts("why502.gateways", "looks"):
        for module, look in part.LOOKS:
            found.setdefault((part.__name__.split(".")[2], module), []).append(look)
    return found


def _best(sample: list[str]) -> tuple[str, float]:
    shares = [(each.fits(sample), each.NAME) for each in formats()]
    share, name = max(shares, default=(0.0, ""))
    return name, share


@lru_cache(1)
def _marks() -> dict[str, list[tuple[str, int]]]:
    """Return each mark with its format's place in the registry.

    The key is the sequence of three letters in the mark that the fewest marks share, or "" for shorter marks.
    """
    marks = [(mark.decode("latin-1"), place) for place, each in enumerate(formats()) for mark in each.MARKS]
    common = Counter(three for mark, _ in marks for three in _threes(mark))
    found: dict[str, list[tuple[str, int]]] = {}
    for mark, place in marks:
        found.setdefault(min(_threes(mark), key=lambda three: (common[three], three), default=""), []).append((mark, place))
    return found


def _threes(text: str) -> set[str]:
    return {text[at : at + 3] for at in range(len(text) - 2)}


def _possible(line: str) -> list[Format]:
    """Return the formats that have a mark in the line. Most of the hundreds of marks are never searched."""
    marks = _marks()
    likely = marks.keys() & {*_threes(line), ""}
    places = {place for three in likely for mark, place in marks[three] if mark in line}
    return [formats()[place] for place in sorted(places)]


# The formats whose lines are recognised by their first characters, ignoring digits and letters. An nginx line loads no other
# format.
_BEGIN = 10
_SHAPES = str.maketrans(dict.fromkeys(string.digits, "0") | dict.fromkeys(string.ascii_letters, "a"))
_SHAPE_OF_NGINX = "0000/00/00"
_BY_SHAPE = MappingProxyType({"[aaa aaa 0": "apache"})


def parse_any(line: str, peel: Callable[[str], Iterator[Inner]] = peel) -> LogRecord | None:
    """Return the record of a line in any format, wrapped or bare; None if no format matches.

    The result depends on the line alone.

    `peel` yields the line without its wrappers.
    """
    form = _by_shape(line)
    if form is not None and (record := form.parse(line)) is not None and is_sure(form, record, line):
        return record
    line = line[:LIMIT]
    best = _plain(line)
    if best is None or best.at is None:
        for inner in peel(line):
            record = _plain(inner.line)
            if record is not None and (best is None or record.at is not None or record.format == best.format):
                best = _dated(record, inner)
                if record.at is not None:
                    break
            elif best is not None:
                best = _dated(best, inner)
    return best


def _by_shape(line: str) -> Format | None:
    shape = line[:_BEGIN].translate(_SHAPES)
    if shape == _SHAPE_OF_NGINX:
        from why502.gateways.nginx.logs import error as nginx_error

        return cast(Format, nginx_error)
    name = _BY_SHAPE.get(shape)
    return named(name) if name else None


def _plain(line: str) -> LogRecord | None:
    """Return the record from the format that matches a bare line best."""
    found = [(record, each) for each in _possible(line) if (record := each.parse(line)) is not None]
    if not found:
        return None
    return found[0][0] if len(found) == 1 else max(found, key=lambda pair: pair[1].fits([line]))[0]


def is_sure(form: Format, record: LogRecord, line: str) -> bool:
    """Return whether only this format can produce such a record from the line.

    A format declares this for all its lines, for its failures, or for objects with a certain member.
    """
    return record.at is not None and (
        getattr(form, "IS_UNMISTAKABLE", False)
        or (record.symptom is not None and getattr(form, "HAS_SURE_FAILURES", False))
        or (line.startswith("{") and getattr(form, "SURE_MEMBER", "\n") in line)
    )


def _dated(record: LogRecord, inner: Inner) -> LogRecord:
    """Return the record with the wrapper's time and program, if the line itself has none."""
    at, program = record.at or inner.at, record.program or inner.program
    return msgspec.structs.replace(record, at=at, program=program)


def parse_line(line: str, peel: Callable[[str], Iterator[Inner]] = peel) -> LogRecord | None:
    """Return the record of a line in any format; for a line without meaning, at least its time."""
    return _timed(parse_any(line, peel), line)


def parser_of(name: str) -> Callable[[str], LogRecord | None]:
    """Return a parser that gives the same records as `parse_line`, sooner for lines of this format that no other can produce."""
    form = named(name) if name else None
    if form is None:
        return parse_line

    def read(line: str) -> LogRecord | None:
        record = form.parse(line[:LIMIT])
        return record if record is not None and is_sure(form, record, line) else parse_line(line)

    return read


def _timed(record: LogRecord | None, line: str) -> LogRecord | None:
    if record is not None and record.at is not None:
        return record
    at = stamps.find(line)
    if record is None:
        return LogRecord(at=at) if at else None
    return msgspec.structs.replace(record, at=at)
