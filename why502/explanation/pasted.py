"""Repairs what pasting did to a log line: a forum's quotation marks and bullets, prefixes of grep, HTML, escaped quotes.

For text that a person gives: to `why502 explain`, or as a short file with `--log`. The readers of logs repair nothing: they get
lines as a program wrote them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import date

from why502.logs import detect, unwrap
from why502.logs.unwrap import LIMIT, Inner
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

_WRAPPERS = tuple(  # what people paste together with a line, or type before it
    lazy(pattern, re.ASCII)
    for pattern in (
        r"(?:\.{0,2}/)?[\w@+%./-]{1,200}\.(?:log|err|txt|out)(?:[.-][\w.]{1,20})?[:-](?:\d{1,9}[:-])?[ \t]*",  # grep -Hn
        r"\[?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\]?[ \t]+(?=\S)",  # a time without a date
        r"(?:[>•·|#`\"'“”‘’«»]|&gt;|[-*–] |\d{1,3}[.)] )[ \t]*",  # a forum's quotation marks and bullets
    )
)
_ESCAPED_FIELD = lazy(r", (?:request|upstream|subrequest|host|referrer): (?:\\\"|&quot;)")
MOST_MARKS = 8  # before one line
_OPENING, _CLOSING = ('"', "'", "`", "“", "‘"), "\"'`”’,"


def peel(line: str, today: date | None = None) -> Iterator[Inner]:
    """Yield the line with one more wrapper removed each time, also those of pasting. Yields nothing for a bare line."""
    found = Inner(line[:LIMIT].rstrip("\r\n"))
    for found in unwrap.peel(line, today, _strip):
        yield found
    plain = html.unescape(found.line).replace('\\"', '"')
    if plain != found.line:
        yield found._replace(line=plain)


def _strip(line: str) -> str:
    """Return the line without the first thing that pasting put before it, and without the closing quotation mark of one."""
    match = next((match for wrapper in _WRAPPERS if (match := wrapper.match(line))), None)
    if match is None:
        return line
    inner = line[match.end() :]
    return inner.rstrip(_CLOSING) if match[0].strip() in _OPENING else inner


def bare(line: str, today: date | None = None) -> Inner:
    """Return the innermost line."""
    found = Inner(line[:LIMIT].rstrip("\r\n"))
    for found in peel(line, today):  # noqa: B007 (the last one counts)
        pass
    return found


def parse_any(line: str) -> LogRecord | None:
    """Return the record of a pasted line in any format; None if no format matches."""
    return detect.parse_any(_unescaped(line), peel)


def repaired(text: str) -> str:
    """Return pasted lines as the programs wrote them, as far as that can be told: one for each line of the text.

    A line that some format reads with its time stays as it is, and so does one that no format reads either way.
    """
    return "\n".join(map(_repaired_line, text.split("\n")))


def _repaired_line(line: str) -> str:
    plain = _unescaped(line)
    inner = list(_stripped(plain))
    if not inner or _has_time(detect.parse_any(plain, _as_it_is)):
        return plain
    for found in reversed(inner):
        if _has_time(detect.parse_any(found)):
            return found
    is_read = detect.parse_any(plain, _as_it_is) is not None
    return plain if is_read else next((found for found in reversed(inner) if detect.parse_any(found) is not None), plain)


def _has_time(record: LogRecord | None) -> bool:
    return record is not None and record.at is not None


def _as_it_is(line: str) -> Iterator[Inner]:  # noqa: ARG001 - called as `peel` is
    """Yield nothing: a format must read the line with all that stands around it."""
    return iter(())


def _stripped(line: str) -> Iterator[str]:
    """Yield the line with one more mark of pasting removed each time."""
    for _ in range(MOST_MARKS):
        inner = _strip(line)
        if inner == line or not inner:
            return
        line = inner
        yield line


def _unescaped(line: str) -> str:
    """Return the line with plain quotation marks, if it is of nginx's error log and was copied out of JSON or an HTML page."""
    field = _ESCAPED_FIELD.search(line)
    if field is None or '{"' in line[: field.start()]:  # whoever reads the JSON object decodes it
        return line
    return html.unescape(line).replace('\\"', '"')
