"""The successful lines of an nginx access log, matched by one regular expression built from its `log_format`.

It only has to be right where it matches: a line that it does not match is left to the format's own parser.
"""

from __future__ import annotations

import re
from datetime import datetime

from why502.model.times import MONTHS, of_epoch, of_iso, of_parts, zone_of

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
TIMES = ("msec", "time_iso8601", "time_local")
_WANTED = ("status", "upstream_addr", "upstream_status", "upstream_response_time", "request_time")
_REQUESTS = ("request", "request_method", "request_uri")
_LOCAL = re.compile(r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) [+-][0-9]{4}")
_MSEC = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SERVERS = ("server_name", "host", "http_host")  # where the server stands, best first
_CLIENT = "remote_addr"
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
        self.server = next((groups[name] for name in _SERVERS if name in groups), 0) - 1
        self.client = groups.get(_CLIENT, 0) - 1
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
        wanted = name in (*_WANTED, *TIMES, *_REQUESTS, *_SERVERS, _CLIENT) and name not in names
        pattern += f"(?P<{name}>{value})" if wanted else value
        names.add(name)
    pattern += re.escape(format[position:])
    if "status" not in names or not names & set(TIMES):
        return None
    if "upstream_addr" not in names or "upstream_status" not in names:  # one without the other tells nothing of a target
        pattern = pattern.replace("(?P<upstream_addr>", "(?:").replace("(?P<upstream_status>", "(?:")
    return Columns(re.compile(f"^{pattern}$|^[^\\n]*$".encode("utf-8", "surrogateescape"), re.MULTILINE))


def seconds(name: str, text: bytes) -> float | None:
    """Return the time in seconds since the epoch that a variable ($msec, $time_iso8601, $time_local) holds."""
    written = text.decode("latin-1")
    at = msec(written) if name == "msec" else of_iso(written) if name == "time_iso8601" else local(written)
    return None if at is None else at.timestamp()


def msec(text: str) -> datetime | None:
    """Return the time of `1763678800.123`, in UTC."""
    return of_epoch(float(text)) if _MSEC.fullmatch(text) else None


def local(text: str) -> datetime | None:
    """Return the time of `20/Nov/2026:22:46:40 +0000`, in UTC."""
    match = _LOCAL.fullmatch(text)
    zone = zone_of(text[21:]) if match else None
    if match is None or zone is None:
        return None
    day, month, *rest = match.groups()
    year, hour, minute, second = map(int, rest)
    return of_parts(year, MONTHS.get(month, 0), int(day), hour, minute, second, zone=zone)


def _value(after: str, escape: str) -> str:
    """Return the pattern of a value that the character `after` ends; possessive, so that no line takes longer than its length."""
    if after == '"' and escape == "json":
        return r'(?:[^"\\\n]++|\\.)*+'
    return r"[^\n]*+" if not after else rf"[^{re.escape(after)}\n]*+"
