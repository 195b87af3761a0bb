"""Removes wrappers around a log line: syslog, journald, container runtimes, colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from why502.model import foreign_json
from why502.model.patterns import lazy
from why502.model.times import MONTHS, of_epoch, of_iso, of_parts, whole_number

LIMIT = 65536  # only this many characters of a line are read
_DEPTH = 8  # maximum number of nested wrappers
_ANSI = lazy(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|\^\[\[[\d;]{0,16}m")
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_SHORT = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
_TAG = r"(?P<program>[\w./@-]{1,48})(?:\[\d{1,10}\])?: ?"
_WRAPPERS = tuple(
    lazy(pattern, re.ASCII)
    for pattern in (
        # RFC 5424
        rf"<\d{{1,3}}>1 (?P<iso>{_ISO}|-) \S{{1,255}} (?P<program>\S{{1,48}}) \S{{1,128}} \S{{1,32}} (?:-|(?:\[[^\]]{{0,2000}}\])+) ?(?:\ufeff)?",
        rf"(?:<\d{{1,3}}>)?(?P<short>{_SHORT}) (?:[\w.:-]{{1,255}} )?{_TAG}",  # RFC 3164, journalctl
        # rsyslog, -o short-iso
        rf"(?:<\d{{1,3}}>)?(?:[A-Z][a-z]{{2}} )?(?P<iso>{_ISO})(?: [A-Z]{{3,5}})? [\w.-]{{1,255}} {_TAG}",
        rf"(?P<iso>{_ISO}) (?:stdout|stderr) [FP] ?",  # Kubernetes CRI
        rf"(?P<iso>{_ISO})[ \t]+",  # docker logs -t, kubectl logs --timestamps
        r"\s*\[?(?:pod/)?[\w./@-]{1,120}\]?[ \t]*\|(?: |$)",  # docker compose
        r"\[pod/[\w./-]{1,200}\] ",  # kubectl logs --prefix
        r"(?P<program>nginx|php-fpm[\d.]*|haproxy|systemd|kernel|httpd|apache2)\[\d{1,10}\]: ",
        r"[ \t\ufeff]+",
    )
)
_ENTRY = lazy(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:emerg|alert|crit|error|warn|notice|info|debug)\] \d+#\d+: ")


class Inner(NamedTuple):
    """A line without its wrapper, with the wrapper's time (aware if it has a zone) and program."""

    line: str
    at: datetime | None = None
    program: str = ""


def unwrap(line: str, today: date | None = None) -> Inner:
    """Return the innermost line. `today` determines the year of a syslog time, which has none."""
    found = Inner(line[:LIMIT].rstrip("\r\n"))
    for found in peel(line, today):  # noqa: B007 (the last one counts)
        pass
    return found


def peel(line: str, today: date | None = None, strip: Callable[[str], str] = str) -> Iterator[Inner]:
    """Yield the line with one more wrapper removed each time, until none is left. Yields nothing for a bare line.

    `strip` removes what else may stand around a line; it returns the same text where there is nothing.
    """
    line = line[:LIMIT].rstrip("\r\n")
    at: datetime | None = None
    program = ""
    for _ in range(_DEPTH):
        inner, found_at, found_program = _once(line, today, strip)
        if inner == line or not inner:
            break
        line, at, program = inner, found_at or at, found_program or program
        yield Inner(line, at, program)
    if (entry := _ENTRY.search(line)) and entry.start():  # regardless of the text before it
        yield Inner(line[entry.start() :], at, program)
    elif (start := line.find("nginx: [")) > 0:
        yield Inner(line[start:], at, program)


def _once(line: str, today: date | None, strip: Callable[[str], str]) -> Inner:
    if "\x1b" in line or "^[[" in line:
        plain = _ANSI.sub("", line).replace("\x1b", "")
        if plain != line:
            return Inner(plain)
    if line.startswith("{"):
        return _from_json(line)
    for wrapper in _WRAPPERS:
        if match := wrapper.match(line):
            values = match.groupdict()
            at = (
                of_iso(values["iso"])
                if values.get("iso")
                else short_time(values["short"], today)
                if values.get("short")
                else None
            )
            return Inner(line[match.end() :], at, (values.get("program") or "").rpartition("/")[2])
    return Inner(strip(line))


def _from_json(line: str) -> Inner:
    """Return the text of a JSON object written by Docker's json-file log, `journalctl -o json` or a log collector."""
    try:
        entry: Any = foreign_json.decode(line)
    except ValueError:
        return Inner(line)
    if not isinstance(entry, dict):
        return Inner(line)
    text = next((entry[key] for key in ("log", "MESSAGE", "message") if isinstance(entry.get(key), str | list)), None)
    if isinstance(text, list):  # journald writes text that is not UTF-8 as a list of numbers
        text = bytes(x for x in text if isinstance(x, int) and 0 <= x < 256).decode("utf-8", "surrogateescape")
    if not text:
        return Inner(line)
    at = None
    stamp = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP")
    if isinstance(stamp, str) and (micros := whole_number(stamp)) is not None:
        at = of_epoch(micros / 1e6)
    elif isinstance(stamp := entry.get("time") or entry.get("timestamp") or entry.get("@timestamp"), str):
        at = of_iso(stamp)
    program = entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or ""
    return Inner(text.rstrip("\r\n"), at, program if isinstance(program, str) else "")


def short_time(text: str, today: date | None = None) -> datetime | None:
    """Return the time of `Nov 20 22:46:40` (RFC 3164) in the latest year that has this day and is not in the future."""
    last = today or datetime.now(UTC).date()
    month, day = MONTHS[text[:3]], int(text[4:6])
    clock = (int(text[7:9]), int(text[10:12]), int(text[13:15]))
    latest = last.toordinal() + 1
    years = range(last.year + 1, last.year - 9, -1)  # eight years pass between two leap days around 2100
    found = (of_parts(year, month, day, *clock) for year in years)
    return next((at for at in found if at is not None and at.toordinal() <= latest), None)
