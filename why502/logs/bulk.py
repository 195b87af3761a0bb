"""The healthy mass of an nginx access log, read by one expression made of its `log_format`: few operations a line, in C.

It only has to be right where it matches: a line that it does not match is left to the format's own parser.
"""

from __future__ import annotations

import calendar
import re
from datetime import datetime

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
TIMES = ("msec", "time_iso8601", "time_local")
_WANTED = ("status", "upstream_addr", "upstream_status", "upstream_response_time", "request_time")
_REQUESTS = ("request", "request_method", "request_uri")
_MONTHS = {name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
MOST_TIMES = 1 << 16


class Columns:
    """Where the fields of interest stand in a row of `rows`; -1 where the format does not have one."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        groups = pattern.groupindex
        self.width = pattern.groups
        self.time = next(groups[name] for name in TIMES if name in groups) - 1
        self.time_name = next(name for name in TIMES if name in groups)
        self.status = groups["status"] - 1
        is_apart = "request" not in groups and {"request_method", "request_uri"} <= groups.keys()
        self.request = groups.get("request_uri" if is_apart else "request", 0) - 1
        self.method = groups["request_method"] - 1 if is_apart else -1  # where the request line is written in parts
        self.address, self.upstream_status, self.response_time = (groups.get(name, 0) - 1 for name in _WANTED[1:4])

    def rows(self, data: bytes) -> list[tuple[bytes, ...]]:
        """Return one row for each line of `data` (as split at line feeds); all b"" for a line that does not fit."""
        return self._pattern.findall(data)


def compile(format: str, escape: str) -> Columns | None:
    """Return the columns of a log_format; None where it has no status or no time, or cannot be told apart without looking closer.

    A variable ends where the text after it begins: in escape=default a quote never stands in a value, in escape=json it has a
    backslash. [src/http/modules/ngx_http_log_module.c]
    """
    names: set[str] = set()
    pattern, position = "", 0
    matches = list(_VARIABLE.finditer(format))
    for match in matches:
        name = match[1] or match[2]
        pattern += re.escape(format[position : match.start()])
        position = match.end()
        after = format[position : position + 1]
        if after == "$":
            return None
        value = _value(after, escape)
        wanted = name in (*_WANTED, *TIMES, *_REQUESTS) and name not in names
        pattern += f"(?P<{name}>{value})" if wanted else value
        names.add(name)
    pattern += re.escape(format[position:])
    if "status" not in names or not names & set(TIMES):
        return None
    if "upstream_addr" not in names or "upstream_status" not in names:  # one without the other tells nothing of a target
        pattern = pattern.replace("(?P<upstream_addr>", "(?:").replace("(?P<upstream_status>", "(?:")
    return Columns(re.compile(f"^{pattern}$|^[^\\n]*$".encode(), re.MULTILINE))


def seconds(name: str, text: bytes) -> float | None:
    """Return the time in seconds since the epoch that a variable ($msec, $time_iso8601, $time_local) holds."""
    try:
        if name == "msec":
            return float(text)
        if name == "time_iso8601":
            return datetime.fromisoformat(text.decode("ascii")).timestamp()
        clock = calendar.timegm(
            (int(text[7:11]), _MONTHS[text[3:6]], int(text[:2]), int(text[12:14]), int(text[15:17]), int(text[18:20]))
        )
        offset = int(text[22:24]) * 3600 + int(text[24:26]) * 60
        return float(clock + offset if text[21:22] == b"-" else clock - offset)
    except (ValueError, KeyError, OverflowError, UnicodeDecodeError):
        return None


def _value(after: str, escape: str) -> str:
    """Return the pattern of a value that the character `after` ends; possessive, so that no line takes longer than its length."""
    if after == '"' and escape == "json":
        return r'(?:[^"\\\n]++|\\.)*+'
    return r"[^\n]*+" if not after else rf"[^{re.escape(after)}\n]*+"
