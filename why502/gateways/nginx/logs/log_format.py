"""Turns a `log_format` into a parser for its lines (src/http/modules/ngx_http_log_module.c)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from why502.model.patterns import lazy

APACHE = "apache"  # the escapes of Apache: `\\"`, `\\\\`, `\\n`, `\\xhh` (server/util.c, ap_escape_logitem)
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
MAIN = f'{COMBINED} "$http_x_forwarded_for"'

_VARIABLE = lazy(r"\$(?:\{(\w+)\}|(\w+))")
_NUMBER = r"-|-?\d*(?:\.\d+)?"
_NUMBERS = r"(?:-|\d+(?:\.\d+)?)?(?:(?:, | : )(?:-|\d+(?:\.\d+)?)?)*"
_PATTERNS = {
    "time_local": r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}",
    "time_iso8601": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)",
    "status": r"\d{3}|-",
    "remote_addr": r"[^\s\"]*",
    "upstream_addr": r"[^\s,\"|;]*(?:(?:, | : )[^\s,\"|;]*)*",
    **dict.fromkeys(
        (
            "msec",
            "request_time",
            "request_time_ms",
            "request_time_us",
            "body_bytes_sent",
            "bytes_sent",
            "request_length",
            "connection",
            "pid",
        ),
        _NUMBER,
    ),
    **dict.fromkeys(("connection_requests", "remote_port", "server_port", "gzip_ratio"), _NUMBER),
    **{
        f"upstream_{name}": _NUMBERS
        for name in (
            *("status", "connect_time", "header_time", "response_time", "response_length"),
            *("bytes_received", "bytes_sent", "first_byte_time", "queue_time"),
        )
    },
}
_BEGINS = {"time_local": r"\d\d/", "time_iso8601": r"\d{4}-", "status": r"[\d-]", "msec": r"\d", "request_time": r"[\d-]"}
_HEX = lazy(rb"\\x([0-9A-Fa-f]{2})")


def has_time(text: str) -> bool:
    """Return whether the lines of a `log_format` have the time of the request: without it they say too little."""
    return "$time_" in text


class LineFormat:
    """A compiled `log_format`. Its regular expression never backtracks, so no line takes long."""

    def __init__(self, text: str, escape: str = "default") -> None:
        self.escape = escape
        self.names: set[str] = set()
        self._regex = re.compile(self._pattern(text), re.DOTALL)
        self._keys = json_keys(text)

    def values(self, line: str) -> dict[str, str] | None:
        """Return the variables of a line by name, unescaped, omitting those without a value; None if the line does not match."""
        if self._keys:
            try:
                entry = msgspec.json.decode(line.encode("utf-8", "surrogateescape"))
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                entry = None
            if isinstance(entry, dict):
                found = {name: text for path, name in self._keys.items() if (text := _at(entry, path)) is not None}
                return {name: text for name, text in found.items() if text not in ("", "-")} if found else None
        match = self._regex.fullmatch(line)
        if match is None:
            return None
        return {name: self.plain(text) for name, text in match.groupdict().items() if text and text != "-"}

    def plain(self, text: str) -> str:
        """Return a value unescaped."""
        if "\\" not in text or self.escape == "none":
            return text
        if self.escape == APACHE:
            text = text.replace('\\"', '"')
        if self.escape == "json":
            try:
                return str(json.loads(f'"{text}"', strict=False))
            except ValueError:
                return text
        raw = text.encode("utf-8", "surrogateescape")
        return _HEX.sub(lambda match: bytes([int(match[1], 16)]), raw).decode("utf-8", "surrogateescape")

    def _pattern(self, text: str) -> str:
        """Return the regular expression of a log_format: a named group for each variable's first occurrence."""
        literals, names = parted(text)
        pattern = re.escape(literals[0])
        for at, name in enumerate(names):
            before, after = literals[at], literals[at + 1]
            value = _PATTERNS.get(name)
            group = "(?:" if name in self.names or not name.isidentifier() else f"(?P<{name}>"
            if value is None and before.endswith('"') and after.startswith('"') and self.escape != "none":
                value = r'(?:[^"\\]|\\.)*+' if self.escape in ("json", "apache") else r'[^"]*+'
            if value is not None:
                pattern += f"{group}{value})"
            elif not after:
                pattern += f"{group}[^\\s]*+)" if at + 1 < len(names) else f"{group}.*+)"
            else:
                following = _BEGINS.get(names[at + 1], "") if at + 1 < len(names) else r"\Z"
                pattern += f"(?>{group}.*?)(?={re.escape(after)}{following}))"
            pattern += re.escape(after)
            if name.isidentifier():
                self.names.add(name)
        return pattern


def parted(text: str) -> tuple[list[str], list[str]]:
    """Return the literals of a log_format, and the names of its variables; there is one more literal than variables."""
    pieces = _VARIABLE.split(text)  # literal, ${name}, $name, literal, …
    return pieces[::3], [braced or bare for braced, bare in zip(pieces[1::3], pieces[2::3], strict=True)]


def json_keys(text: str) -> dict[tuple[str, ...], str]:
    """Return the variable at each place of a log_format that produces a JSON object; {} for any other."""
    if not text.lstrip().startswith("{"):
        return {}
    marked = re.sub(r'"\$\{?(\w+)\}?"|\$\{?(\w+)\}?', lambda match: f'"\\u0000{match[1] or match[2]}"', text)
    try:
        template = json.loads(marked)
    except ValueError:
        return {}
    return {path: value[1:] for path, value in _leaves(template) if value.startswith("\0")}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, value)] if isinstance(value, str) else []


def _at(entry: Any, path: tuple[str, ...]) -> str | None:
    for key in path:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return None if entry is None or isinstance(entry, dict | list) else str(entry)
