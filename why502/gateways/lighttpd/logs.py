"""The error log of lighttpd: `2026-11-23 14:19:16: (gw_backend.c.274) establishing connection failed: socket: tcp:app:80: …`.

Source: src/log.c, src/gw_backend.c, src/http-header-glue.c; the lines were seen with 1.4.69. Its access log has the combined
form.
"""

from __future__ import annotations

import re
from typing import Any

from why502.gateways.codes import Code
from why502.gateways.codes import code as row
from why502.logs.coded import LIMIT, coded_record, iso
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target

NAME = "lighttpd"
MARKS = (
    b"(gw_backend.c.",
    b"(mod_",
    b"(server.c.",
    b"(http-header-glue.c.",
    b"(network.c.",
    b"(connections.c.",
    b"(configfile.c.",
)
_HEAD = lazy(r"(?:(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): )?\((?P<file>[a-z0-9_-]{1,40}\.c)\.\d{1,6}\) (?P<rest>.*)", re.DOTALL)
_SOCKET = lazy(r"socket: (?:tcp:(?P<to>\S{1,255}:\d{1,5})|unix:(?P<path>/[^:\s]{1,500}))")
_REQUEST = lazy(r" for (/\S{0,1000}?)\??(?: on \S{0,200} are down|,|$)")
_PHRASES = {
    "Connection refused": Symptom.CONNECT_REFUSED,
    "Connection timed out": Symptom.CONNECT_TIMED_OUT,
    "No route to host": Symptom.HOST_UNREACHABLE,
    "Network is unreachable": Symptom.HOST_UNREACHABLE,
    "No such file or directory": Symptom.SOCKET_PATH_MISSING,
    "Permission denied": Symptom.CONNECT_DENIED,
    "Resource temporarily unavailable": Symptom.QUEUE_FULL,
    "Cannot assign requested address": Symptom.NO_LOCAL_PORT,
    "Connection reset by peer": Symptom.CONNECT_RESET,
    "Too many open files": Symptom.FILES_EXHAUSTED,
}
_NOBODY = "backend-not-running wrong-port wrong-address connect-timeout unix-socket-missing"
_LATE = "backend-too-slow backend-hung proxy-timeout-too-short"
_CLOSED = "premature-close backend-crashed"
_ROWS: tuple[tuple[re.Pattern[str], Code], ...] = tuple(
    (lazy(pattern), code)
    for pattern, code in (
        (r"establishing connection failed: ", row("connect", "the connection failed", Symptom.CONNECT_FAILED, _NOBODY, "503")),
        (r"connect(?:\(\))? failed: ", row("connect", "the connection failed", Symptom.CONNECT_FAILED, _NOBODY, "503")),
        (
            r"all handlers for \S{1,1000} on \S{0,200} are down",
            row("down", "no server is left to try", Symptom.NO_LIVE_UPSTREAMS, f"all-upstreams-down {_NOBODY}", "503"),
        ),
        (
            r"read timeout on socket: ",
            row(
                "read",
                "no answer in time",
                Symptom.READ_TIMED_OUT,
                "backend-too-slow backend-hung proxy-timeout-too-short",
                "504",
            ),
        ),
        (
            r"write timeout on socket: ",
            row("write", "the request was not taken", Symptom.SEND_TIMED_OUT, _LATE, "504"),
        ),
        (
            r"response not received, request sent: ",
            row(
                "closed",
                "no answer came",
                Symptom.CLOSED_BEFORE_HEADER,
                "connection-reset premature-close backend-crashed",
                "500",
            ),
        ),
        (
            r"unexpected end-of-file \(perhaps the ",
            row("closed", "no answer came", Symptom.CLOSED_BEFORE_HEADER, _CLOSED, "500"),
        ),
        (
            r"response headers too large for ",
            row("header", "the response header is too large", Symptom.HEADER_TOO_BIG, "response-header-too-big", "502"),
        ),
        (
            r"sockets disabled, |too many open files|out-of-fds",
            row("files", "no descriptor is left", Symptom.FILES_EXHAUSTED, "too-many-open-files", "", failure=False),
        ),
    )
)


def fits(sample: list[str]) -> float:
    """Return the share of lines written by lighttpd."""
    return share(sample, lambda line: _HEAD.match(line) is not None)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if lighttpd did not write it. `at` is naive local time."""
    match = _HEAD.match(line[:LIMIT].rstrip("\r\n"))
    if match is None:
        return None
    rest = match["rest"].strip()
    code = next((code for pattern, code in _ROWS if pattern.match(rest)), None)
    common: dict[str, Any] = {
        "format": NAME,
        "proxy": NAME,
        "program": NAME,
        "at": iso(match["at"].replace(" ", "T")) if match["at"] else None,
        "level": "error" if code else "",
        "message": rest,
    }
    if code is None:
        return coded_record(Code(code="", message="", is_gateway_failure=False), **common)
    place = _SOCKET.search(rest)
    target = None if place is None else Target(path=place["path"]) if place["path"] else Target.parse(place["to"])
    request = _REQUEST.search(rest)
    symptom = next((found for words, found in _PHRASES.items() if rest.endswith(words)), None) if code.code == "connect" else None
    return coded_record(
        code,
        symptom,
        target=target,
        status=int(code.status) if code.status else None,
        request=f"GET {request[1]}" if request else "",
        is_final=False,
        **common,
    )
