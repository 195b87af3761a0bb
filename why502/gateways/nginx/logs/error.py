"""The error log of nginx: `2026/11/20 22:46:40 [error] 24569#24569: *2 MESSAGE (ERRNO: TEXT) while ACTION, client: …`.

It escapes nothing, and a line is cut after 2047 bytes without a mark (src/core/ngx_log.c, src/http/ngx_http_request.c
ngx_http_log_error_handler, src/event/ngx_event_openssl.c ngx_ssl_error). Times are local, without a zone.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from msgspec.structs import replace

from why502.gateways.nginx.logs import error_fields as fields
from why502.gateways.nginx.logs.error_head import FORMAT, stderr_template, template
from why502.logs.native.described import Tail, Text
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import of_iso

NAME = FORMAT
MARKS: tuple[bytes, ...] = (
    *(b"[emerg]", b"[alert]", b"[crit]", b"[error]", b"[warn]", b"[notice]", b"[info]"),
    *(b"failed", b"upstream", b"resolve", b"client", b"worker", b"nginx:"),  # for a line that lost its beginning
)
_TAILS = (
    Tail(name="asker", begin=", client: ", end=",", is_needed=True),
    Tail(name="server", begin=", server: ", end=",", is_needed=True),
    Tail(name="asked", begin=', request: "', end='"'),
    Tail(name="_", begin=', subrequest: "', end='"'),
    Tail(name="origin", begin=', upstream: "', end='"'),
    Tail(name="_", begin=', host: "', end='"'),
    Tail(name="_", begin=', referrer: "', end='"'),
)
LAYOUTS = (
    Text(
        template="{time} [{key}] {#}#{#}: {message}", tails=_TAILS, clock="nginx", is_time_spaced=True, flags=("said", "entries"),
        asks=(
            *("text key", "template message client |from |host: ", "has asker", "begins asker 127.|unix:|::1", "text server"),
            *("word asked", "origin origin"),
        ),
    ),
)  # fmt: skip
IS_UNMISTAKABLE = True  # no other format writes a line with a time that `parse` reads
_NO_ADDRESS, _NO_ROUTE = 99, 113  # EADDRNOTAVAIL, EHOSTUNREACH
_LONGEST = 8192  # only this many characters of an entry are read; nginx itself writes 2047, OpenResty 4095

_LEVELS = "emerg|alert|crit|error|warn|notice|info|debug"
_HEAD = lazy(rf"(\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) \[({_LEVELS})\] (\d{{1,10}})#\d{{1,10}}: (?:\*(\d{{1,18}}) )?")
_ANY_HEAD = lazy(
    rf"(?:nginx: )?(?:(\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) |\d\d:\d\d:\d\d )?(?:\[({_LEVELS})\]:? )?(?:(\d{{1,10}}) ?# ?\d{{1,10}}: )?(?:\* ?(\d{{1,18}}) )?",
    re.IGNORECASE,
)
_STARTS = lazy(
    rf"\s*(?:\d{{4}}[/-]\d\d[/-]\d\d[ T]|\[(?:{_LEVELS})\]|nginx: |\*\d+ |[A-Z][a-z]{{2}} [ \d]\d \d\d:|<\d+>|\{{|\[\d|[\d.]+ - )",
    re.IGNORECASE,
)
_TYPESET = dict.fromkeys(map(ord, "“”„«»"), '"')  # quotation marks as changed by a word processor or a chat program
_STDERR = lazy(r'fastcgi sent in stderr: "(.*?)(?:" while ([a-z ]+)(?=, client: |\Z)|"?\Z)', re.DOTALL | re.IGNORECASE)


def fits(sample: list[str]) -> float:
    """Return the share of lines that belong to an nginx error log; continuation lines do not count, bare messages count half."""
    counted = [line for line in sample if line.strip() and not line[0].isspace() and line[0] not in "#`("]
    return sum(map(_sureness, counted)) / len(counted) if counted else 0.0


def _sureness(line: str) -> float:
    match = _ANY_HEAD.match(line)
    if match and match[2] and (match[1] or match[3] or line.startswith("nginx:")):
        return 1.0
    record = parse(line)
    return 0.0 if record is None else 0.9 if record.level else 0.5


def continues(line: str) -> bool:
    """Return whether a line continues the previous entry: FastCGI standard error has line breaks, and people wrap lines."""
    return not _STARTS.match(line) and parse(line) is None


def parse(line: str) -> LogRecord | None:
    """Return the record of one entry, which may hold line breaks; None if nginx did not write it. `at` is naive local time."""
    line = line[:_LONGEST].rstrip("\r\n`")
    if not line.isascii():
        line = line.translate(_TYPESET)
    match = _HEAD.match(line)
    if match:
        at, level, pid, connection = match.groups()
        return _record(line[match.end() :], _time(at), level, int(pid), int(connection) if connection else None)
    match = _ANY_HEAD.match(line)
    if match is None or match.end() == len(line):
        return None
    at, level, pid, connection = match.groups()
    record = _record(
        line[match.end() :],
        _time(at) if at else None,
        level.lower() if level else "stderr" if line.startswith("nginx:") else "",
        int(pid) if pid else None,
        int(connection) if connection else None,
    )
    is_sure = (
        (level and (at or pid))
        or line.startswith("nginx:")  # standard error during startup
        or record.symptom
        or (record.action and record.errno and record.message)
    )
    return record if is_sure else None


def _told_by_address(base: LogRecord, target: Target) -> LogRecord:
    """Return the record with the cause implied by the kind of address in first place.

    A route to this machine itself always exists, so something rejected the connection. An IPv6 address for which no local address
    is available more often means a machine without IPv6 than one without free ports.
    """
    first = ""
    if base.symptom is Symptom.HOST_UNREACHABLE and base.errno == _NO_ROUTE and target.is_loopback:
        first = "connect-rejected"
    elif base.symptom is Symptom.NO_LOCAL_PORT and ":" in target.host:
        first = "wrong-address"
    return replace(base, causes=(first, *(name for name in base.causes if name != first))) if first else base


def _is_local(client: str) -> bool:
    """Return whether a client is a program on this machine: from elsewhere anyone may connect and send anything."""
    return client.startswith(("127.", "unix:")) or client == "::1"


@lru_cache(256)
def _time(text: str) -> datetime | None:
    return of_iso(text.replace("/", "-"))


def _record(rest: str, at: datetime | None, level: str, pid: int | None, connection: int | None) -> LogRecord:
    """Return the record of the text after the connection number."""
    stderr = _STDERR.match(rest) if rest[:4] in ("Fast", "fast") else None
    if stderr is None and "\n" in rest:
        rest = " ".join(" ".join(part.strip(" `") for part in rest.split("\n")).split())
    cut = stderr.end() if stderr else fields.start(rest)
    tail = rest[cut:]
    client, server, request, subrequest, upstream, host, referrer = fields.read(tail) if tail else fields.NO_FIELDS
    protocol, target, kind = fields.address(upstream, tail, request) if upstream else fields.NO_ADDRESS
    if stderr:
        base = stderr_template(stderr[1], stderr[2] or "")
    else:
        where = "process" if pid is not None or level == "emerg" else "stderr" if level == "stderr" else ""
        if connection is not None or client:
            where = "request" if request or not client else "stream" if "bytes from/to" in tail else "client"
        base = template(rest[:cut], level, kind, where)
    group = ""
    if target is None:
        target = base.target
    if base.action == "reading PROXY protocol" and base.message.startswith("broken header") and _is_local(client):
        # A server on this machine that passes connections on sends none of it, so it most likely came from a client.
        base = replace(base, symptom=Symptom.OTHER_PROTOCOL, is_gateway_failure=True, causes=("wrong-protocol",))
        target = Target.parse(server) or target
    elif base.symptom is Symptom.NO_LIVE_UPSTREAMS:
        group, target = str(target), None
    if target is not None and not target.is_unix and base.errno in (_NO_ROUTE, _NO_ADDRESS):
        base = _told_by_address(base, target)
    if base.status == 499 and not upstream and request.startswith(("POST ", "PUT ", "PATCH ")):
        # The client left while its body was read (ngx_http_request_body.c)
        base = replace(base, status=400, is_gateway_failure=False)
    return replace(
        base,
        at=at,
        level=level,
        pid=pid,
        connection=connection,
        target=target,
        group=group,
        client=client,
        server=server,
        request=request,
        subrequest=subrequest,
        host=host,
        referrer=referrer,
        upstream=upstream,
        protocol=protocol,
    )
