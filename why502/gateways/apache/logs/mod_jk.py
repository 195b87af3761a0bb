"""mod_jk, the Tomcat connector of httpd and IIS: `[time] [pid:tid] [level] function::file.c (line): (worker) message`.

Source: native/common/jk_ajp_common.c, jk_lb_worker.c, jk_connect.c of tomcat-connectors 1.2. Times are local.
"""

from __future__ import annotations

import re
from typing import Any

from why502.gateways.apache.codes import READ
from why502.gateways.codes import Code, code
from why502.logs import stamps
from why502.logs.coded import LIMIT, coded_record, number, target
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "mod_jk"
MARKS = (b"::jk_", b"from tomcat", b"to tomcat", b"tomcat instances", b"connecting to backend failed")
_PLACE = lazy(
    r"(?:\[(?P<level>error|warn|info|debug|emerg)\] )?\b\w{1,80}::jk_\w{1,80}\.c \(\d{1,6}\): (?:\((?P<worker>[\w.-]{1,100})\) )?(?P<text>.*)",
    re.DOTALL,
)
_BARE = lazy(
    r"(?:\((?P<worker>[\w.-]{1,100})\) )?(?P<text>(?:[Cc]an't receive the response|[Aa]ll tomcat instances|connecting to (?:tomcat|backend) failed|Tomcat is down or).*)",
    re.DOTALL,
)
_TO = lazy(
    r"connect to (?P<to>\[?[\w.:]{1,100}\]?:\d{1,5}) failed|tomcat \((?P<tomcat>\[?[\w.:]{1,100}\]?:\d{1,5})\)|\((?P<peer>[\d.]{7,15}:\d{1,5})\)"
)
_ERRNO = lazy(r"\b(?:errno|err|error)=-?(\d{1,5})\b")
_CONNECT = {111: Symptom.CONNECT_REFUSED, 110: Symptom.CONNECT_TIMED_OUT, 113: Symptom.HOST_UNREACHABLE, 101: Symptom.HOST_UNREACHABLE, 13: Symptom.CONNECT_DENIED, 99: Symptom.NO_LOCAL_PORT, 104: Symptom.CONNECT_RESET, 10061: Symptom.CONNECT_REFUSED, 10060: Symptom.CONNECT_TIMED_OUT, 61: Symptom.CONNECT_REFUSED}  # fmt: skip
_FORCED = "premature-close keepalive-race backend-crashed ajp-secret-mismatch"
_TEXTS = tuple(
    (lazy(pattern), row)
    for pattern, row in (
        (r"connect to \S+ failed", code("connect", "", Symptom.CONNECT_FAILED, "backend-not-running wrong-port connect-timeout")),
        (r"forced a connection close|closed the connection", code("closed", "", Symptom.CLOSED_BEFORE_HEADER, _FORCED)),
        (r"[Tt]imeout with waiting reply|reply timeout|timed? ?out.{0,40}(?:reply|response)", code("reply_timeout", "", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung workers-exhausted")),
        (r"[Cc]an't receive the response|failed sending request.{0,40}recoverable|receiving (?:reply )?from tomcat failed", code("receive", "", Symptom.CLOSED_BEFORE_HEADER, _FORCED)),
        (r"cping/cpong|CPONG|awaited reply cpong", code("cping", "", Symptom.READ_TIMED_OUT, "backend-hung workers-exhausted backend-too-slow")),
        (r"wrong message (?:size|format)|[Ww]rong (?:message )?(?:format|type)|bad signature", code("wrong message", "", Symptom.OTHER_PROTOCOL, "wrong-protocol invalid-response")),
        (r"[Aa]ll tomcat instances (?:are busy|failed)|no more workers left|worker \S+ is in error state", code("no worker", "", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-not-running")),
        (r"connecting to (?:tomcat|backend) failed|Tomcat is down or refused", code("connecting", "", Symptom.CONNECT_FAILED, "backend-not-running wrong-port connect-timeout")),
        (r"no free (?:endpoints|connections)|can't (?:find|get) .{0,30}endpoint|maximum number of connections", code("pool", "", Symptom.PEER_LIMIT, "upstream-connection-limit workers-exhausted")),
    )
)  # fmt: skip


def fits(sample: list[str]) -> float:
    """Return the share of lines of a mod_jk.log."""
    return share(sample, lambda line: _PLACE.search(line[:500]) and 1)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if mod_jk did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    match = _PLACE.search(line) or _BARE.search(line)
    if match is None:
        return None
    found = match.groupdict()
    text = found["text"]
    common: dict[str, Any] = {
        "format": NAME,
        "proxy": "apache",
        "program": "mod_jk",
        "at": stamps.find(line),
        "level": found.get("level") or "",
        "message": text,
        "group": found["worker"] or "",
        "protocol": "ajp",
    }
    row = next((row for pattern, row in _TEXTS if pattern.search(text)), None)
    errno = number(named[1]) if (named := _ERRNO.search(text)) else None
    if row is None or (found.get("level") == "debug"):
        return coded_record(None, **common)
    to = _TO.search(text)
    address = target(next((each for each in to.groups() if each), "")) if to else None
    return coded_record(row, _symptom(row, errno), errno=errno, target=address, **common)


def _symptom(row: Code, errno: int | None) -> Symptom | None:
    """Return the symptom that the errno gives a message; None if it adds nothing."""
    if row.symptom is Symptom.CONNECT_FAILED:
        return _CONNECT.get(errno or 0)
    return READ.get(errno or 0) if row.code == "receive" and errno in (104, 110) else None
