"""The layout of a log for the compiled reader, built from the form with which Python reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from why502.gateways.nginx.logs.access import target_or_group
from why502.gateways.nginx.logs.log_format import APACHE, json_keys, parted
from why502.logs.native.described import Described, columns, hexadecimal
from why502.logs.native.roles import (
    ADDRESS,
    ANSWER,
    CLIENT,
    CONNECT,
    HEADER,
    IS_LIST,
    IS_NUMBER,
    METHOD,
    REQUEST,
    RESPONSE,
    SERVER,
    STATUS,
    TIME,
    TOTAL,
    URI,
    is_of_attempt,
)
from why502.logs.pairing import Pairing
from why502.logs.verdicts import Fields
from why502.model.logs import LogRecord

if TYPE_CHECKING:
    from why502.logs.scan.line_format import Form

_ROLES = {
    "status": STATUS,
    "request": REQUEST,
    "request_method": METHOD,
    "request_uri": URI,
    "remote_addr": CLIENT,
    "upstream_addr": ADDRESS,
    "upstream_status": ANSWER,
    "upstream_connect_time": CONNECT,
    "upstream_header_time": HEADER,
    "upstream_response_time": RESPONSE,
}
_CLOCKS = {"time_local": "common", "msec": "seconds", "time_iso8601": "iso"}  # the first one in a format counts
_SERVERS = ("server_name", "host", "http_host")  # the first counts here too
# The first counts here too; nanoseconds per unit
_DURATIONS = {"request_time_us": 1000, "request_time_ms": 10**6, "request_time": 10**9}
_NUMBERS = frozenset(
    "body_bytes_sent bytes_sent request_length connection pid connection_requests remote_port server_port gzip_ratio".split()
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The reader's `program` (see src/program.rs), and Python's parser for the line that the reader keeps of each outcome.

    `where` turns an address from the log into the name of a target, given the record of a line that ended the same way.
    `pairing`: of lines that may repeat others.
    """

    program: tuple[str, ...]
    parse: Callable[[str], LogRecord | None]
    fields: Fields
    where: Callable[[str, LogRecord], str]
    pairing: Callable[[LogRecord], Pairing] | None = None
    wrapper: str = ""


_WRAPPERS = {  # how to remove each wrapper (why502/logs/wrappers.py)
    "": [],
    "docker": [f"wrap json-line {hexadecimal('log')} {hexadecimal('time')}"],
    "journal-json": [
        f"wrap json {hexadecimal('MESSAGE')} {hexadecimal('_SOURCE_REALTIME_TIMESTAMP')} {hexadecimal('__REALTIME_TIMESTAMP')}"
    ],
    "cri": ["wrap token", "wrap token", f"wrap literal {hexadecimal('F ')}"],
    "rfc3164": ["wrap priority", "wrap fixed 16", "wrap tag"],
    "syslog-iso": ["wrap priority", "wrap token", "wrap tag"],
    "rfc5424": [f"wrap until {hexadecimal('>1 ')}", *["wrap token"] * 5, f"wrap literal {hexadecimal('- ')}"],
    "timestamp": ["wrap token"],
    "compose": ["wrap name", f"wrap literal {hexadecimal('| ')}"],
}
# The format of the time in a wrapper: its first word, or a member
_STAMPS = {
    "docker": "iso",
    "journal-json": "micros",
    "cri": "iso",
    "rfc3164": "short",
    "syslog-iso": "iso",
    "rfc5424": "iso",
    "timestamp": "iso",
}
_W3C = {
    "date": "date",
    "time": "time",
    "sc-status": "status",
    "c-ip": "client",
    "cs-host": "server",
    "cs-method": "method",
    "cs-uri-stem": "uri",
    "time-taken": "total",
}


def of_form(form: Form, sample: Sequence[str] = ()) -> Iterator[Layout]:
    """Yield the possible layouts for lines of a form, to be checked against its parser; none if only Python can read it.

    `sample` holds some of the lines.
    """
    wrapper = _WRAPPERS.get(form.wrapper)
    if wrapper is None:
        return
    if form.log_format:
        program = _of_members(form.log_format) or _of_fields(form.log_format, form.escape)
        if program is not None:
            yield Layout((*wrapper, *program), form.strict_parser(), Fields.of(form.log_format), nginx_target)
        return
    for one in _described(form, sample):
        if program := one.program(wrapper, _STAMPS.get(form.wrapper, "")):
            yield Layout(tuple(program), form.strict_parser(), Fields(), one.where, one.pairing, form.wrapper)


def _described(form: Form, sample: Sequence[str]) -> Iterable[Described]:
    """Return possible descriptions of the lines: the format's own layouts, and those it derives from some lines (`layouts`)."""
    if form.w3c:
        if _W3C.get(form.w3c[-1]) in ("client", "method", "server", "uri"):  # could hold what stands between two values
            return ()
        is_of_cloudfront = "x-edge-location" in form.w3c
        units = {"total": 10**9 if is_of_cloudfront else 10**6}
        return (columns(form.w3c, _W3C, between="\t" if is_of_cloudfront else " ", clock="iso", units=units),)
    from why502.logs import formats, wrappers

    module = formats.named(form.name)
    of_sample = getattr(module, "layouts", None)
    inner = wrappers.removed(form.wrapper, list(sample)) if form.wrapper else sample
    return (*getattr(module, "LAYOUTS", ()), *(of_sample(inner) if of_sample else ()))


def nginx_target(address: str, like: LogRecord | None = None) -> str:  # noqa: ARG001 - names are made alike
    """Return the target of an entry in $upstream_addr; "" for none."""
    target, group = target_or_group(address)
    return str(target) if target is not None else group


def _of_fields(log_format: str, escape: str) -> list[str] | None:
    """Return the program of a `log_format`; None if its values cannot be separated byte by byte."""
    literals, names = parted(log_format)
    if (
        not all(literals[1:-1])
        or any("\n" in literal for literal in literals)
        or escape not in ("default", "json", "none", APACHE)
    ):
        return None
    chosen = _chosen(names)
    if chosen is None:
        return None
    roles, found = chosen
    found.append(f"begin {hexadecimal(literals[0])}")
    if escape in ("json", APACHE):  # a quote after a backslash does not end a value
        found.append("escaped")
    if escape in ("default", APACHE):
        found.append("hex")
    for name, literal in zip(names, literals[1:], strict=True):
        role = roles.pop(name, 0)  # the first occurrence of a repeated variable counts
        flags = (IS_NUMBER if name in _NUMBERS else 0) | (IS_LIST if is_of_attempt(role) else 0)
        found.append(f"field {role} {flags} {hexadecimal(literal)}")
    return found


def _of_members(log_format: str) -> list[str] | None:
    """Return the program of a `log_format` that produces a JSON object; None for any other."""
    keys = json_keys(log_format)
    chosen = _chosen(list(keys.values())) if keys else None
    if chosen is None:
        return None
    roles, found = chosen
    found.append("whole")
    for path, name in keys.items():
        if role := roles.pop(name, 0):
            found.append(f"member {role} {' '.join(map(hexadecimal, path))}")
    return found


def _chosen(names: Iterable[str]) -> tuple[dict[str, int], list[str]] | None:
    """Return the role of each variable that has one, and other settings for the reader; None if it cannot count such lines."""
    names = set(names)
    roles = {name: role for name, role in _ROLES.items() if name in names}
    found: list[str] = []
    clock = next((name for name in _CLOCKS if name in names), "")
    if not clock or "status" not in names or not ("request" in names or {"request_method", "request_uri"} <= names):
        return None
    if ("upstream_addr" in names) != ("upstream_status" in names):  # one without the other gives no information about an attempt
        return None
    if {CONNECT, HEADER, RESPONSE} & set(roles.values()) and "upstream_addr" not in names:
        return None
    roles[clock] = TIME
    found += ["protocol"] if "server_protocol" in names else []
    found.append(f"clock {_CLOCKS[clock]}")
    if server := next((name for name in _SERVERS if name in names), ""):
        roles[server] = SERVER
    if took := next((name for name in _DURATIONS if name in names), ""):
        roles[took] = TOTAL
        found.append(f"unit {TOTAL} {_DURATIONS[took]}")
    return roles, found
