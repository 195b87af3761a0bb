"""Infers the `log_format` of lines that no name or common format explains, from the content of their columns.

A column is a quoted or bracketed text, a word, or a list as nginx writes it for several attempts (`a, b : c`). Its values in all
lines of the sample identify it: an address with a port is an upstream's; a time that is `-` in requests without an upstream is
the upstream's.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from why502.model.patterns import lazy

_ADDRESS = r"(?:\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-fA-F:]+\]:\d+|unix:/[^\s,:\"|]+:?)"
_WORD = r"[^\s\",|;\[\]]+"
_COLUMN = lazy(
    rf"(?P<address>{_ADDRESS}(?:(?:, | : )(?:{_ADDRESS}|{_WORD}))*+)|\[(?P<bracketed>[^\]\[\"]*)\]|\"(?P<quoted>(?:[^\"\\]|\\.)*+)\""
    rf"|(?P<word>{_WORD}(?:(?:, | : ){_WORD})*+)"
)
_ADDRESSES = lazy(rf"{_ADDRESS}(?:(?:, | : )(?:{_ADDRESS}|{_WORD}))*")
_SPLIT = lazy(r", | : ")
_LOCAL = lazy(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}")
_ISO = lazy(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")
_MSEC = lazy(r"\d{10}\.\d{3}")
_REQUEST = lazy(r"[A-Z]{3,10} \S.* HTTP/\d(?:\.\d)?")
_STATUS = lazy(r"[1-5]\d\d|0\d\d")
_STATUSES = lazy(r"(?:-|[1-5]\d\d)(?:(?:, | : )(?:-|[1-5]\d\d))*")
_SECONDS = lazy(r"(?:-|\d{1,9}\.\d{3})(?:(?:, | : )(?:-|\d{1,9}\.\d{3}))*")
_FITTING = 0.7  # share of the lines that must have the most common columns
_LEAST = 3  # minimum number of lines to identify a column


class _Row(NamedTuple):
    """One line: the text between the columns, and their values."""

    between: tuple[str, ...]
    values: tuple[str, ...]


def infer(lines: Sequence[str]) -> str | None:
    """Return a `log_format` inferred from the columns; None if time, request and status cannot be identified."""
    rows = [row for line in lines if not line.startswith("{") and (row := _row(line)) is not None]
    if len(rows) < _LEAST:
        return None
    between, count = Counter(row.between for row in rows).most_common(1)[0]
    rows = [row for row in rows if row.between == between]
    if count < _FITTING * len(lines):
        return None
    names = _names(list(zip(*(row.values for row in rows), strict=True)))
    if not {"request", "status"} <= set(names) or not {"time_local", "time_iso8601", "msec"} & set(names):
        return None
    text = "".join(literal + f"${name}" for literal, name in zip(between, names, strict=False))
    return text + between[-1]


def _row(line: str) -> _Row | None:
    between, values, position = [], [], 0
    for match in _COLUMN.finditer(line):
        kind = match.lastgroup or ""
        value, (begin, end) = match[kind], match.span(kind)
        between.append(line[position:begin])
        values.append(value)
        position = end
    between.append(line[position:])
    is_plain = len(values) > 4 and all(between[1:-1]) and "$" not in "".join(between)
    return _Row(tuple(between), tuple(values)) if is_plain else None


def _names(columns: list[tuple[str, ...]]) -> list[str]:
    """Return the variable of each column; `unknown` for columns that cannot be identified."""
    names = [""] * len(columns)

    def give(name: str, fits: object) -> int | None:
        """Give the name to the first unnamed column that matches."""
        assert callable(fits)
        for place, column in enumerate(columns):
            if not names[place] and fits(column):
                names[place] = name
                return place
        return None

    for name, pattern in (("time_local", _LOCAL), ("msec", _MSEC), ("time_iso8601", _ISO)):
        give(name, lambda column, pattern=pattern: all(map(pattern.fullmatch, column)))
    request = give("request", lambda column: sum(1 for text in column if _REQUEST.fullmatch(text)) >= len(column) / 2)
    give("remote_addr", lambda column: all(map(is_ip, column)))
    after = -1 if request is None else request
    for place in (*range(after + 1, len(columns)), *range(after + 1)):
        if not names[place] and all(map(_STATUS.fullmatch, columns[place])):
            names[place] = "status"
            break
    address = give("upstream_addr", lambda column: any(map(_ADDRESSES.fullmatch, column)))
    if address is not None:
        _name_attempts(columns, names, [len(_SPLIT.split(text)) for text in columns[address]])
    else:
        give("request_time", lambda column: all(_SECONDS.fullmatch(text) and text != "-" for text in column))
    return [name or "unknown" for name in names]


def _name_attempts(columns: list[tuple[str, ...]], names: list[str], attempts: list[int]) -> None:
    """Name the columns that have a value for each attempt, and the time of the whole request."""

    def is_list(place: int, pattern: re.Pattern[str]) -> bool:
        values = zip(columns[place], attempts, strict=True)
        return not names[place] and all(pattern.fullmatch(text) and len(_SPLIT.split(text)) == count for text, count in values)

    statuses = [
        place for place in range(len(columns)) if is_list(place, _STATUSES) and any(text != "-" for text in columns[place])
    ]
    if statuses:
        names[statuses[0]] = "upstream_status"
    single = [
        place
        for place, column in enumerate(columns)
        if not names[place] and all(_SECONDS.fullmatch(text) and _SPLIT.search(text) is None and text != "-" for text in column)
    ]
    times = [place for place in range(len(columns)) if is_list(place, _SECONDS) and any(text != "-" for text in columns[place])]
    if len(single) > 1:  # each request went to one upstream: the total is the longest time
        single = [max(single, key=lambda place: sum(map(float, columns[place])))]
    for place in single:
        names[place] = "request_time"
    times = [place for place in times if not names[place]]
    wanted = {1: ("response",), 3: ("connect", "header", "response")}.get(len(times), ())
    for place, name in zip(times, wanted, strict=False):
        names[place] = f"upstream_{name}_time"


def is_ip(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
