"""Traefik 1 to 3: its own log (logfmt, console and JSON) and its access log (common and JSON).

Source: pkg/proxy/httputil/proxy.go (which error gives which status), pkg/middlewares/accesslog. Traefik logs errors of requests
only at DEBUG.
"""

from __future__ import annotations

import re
from typing import Any

from why502.gateways.codes import Code, code
from why502.logs.coded import LIMIT, clf, coded_record, iso, members, number, seconds, target, text_of
from why502.logs.go_errors import understand
from why502.logs.native.described import Members, Text, address_of
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "traefik"
_NS = {"total": 1, "response": 1}
LAYOUTS = (
    Text(
        template='{client} - {_} [{time}] "{request}" {status} {#} "{_}" "{_}" {#} "{group}" "{address}" {total}ms',
        clock="common", units={"total": 10**6}, checks=("integer total",), flags=("grouped", "escaped", "named"), asks=("has address",), where=address_of,
    ),
    *(
        Members(
            members={
                time: "time", "RequestMethod": "method", "RequestPath": "uri", "DownstreamStatus": "status", "OriginStatus": "answer",
                "OriginContentSize": "key", "ServiceAddr": "address", "ServiceURL": "key2", service: "group", "ClientHost": "client",
                "RequestHost": "server", "Duration": "total", "OriginDuration": "response",
            },
            clock="iso", units=_NS, flags=("grouped", "nought", "protocol", "named"), asks=("text answer", "oneof key 11|15|21", "has key", "has address", "has key2"),
            where=address_of,
        )
        for time in ("StartUTC", "time")
        for service in ("ServiceName", "RouterName")
    ),
)  # fmt: skip
MARKS = (
    *(b"caused by: ", b"Bad Gateway", b"Gateway Timeout", b"Client Closed Request", b"Internal Server Error", b"traefik", b"DownstreamStatus"),
    *(b"OriginStatus", b"level=", b"ms", b"Health check failed", b"Could not find network", b"no available server"),
)  # fmt: skip
_LOGFMT = lazy(
    r"(?:time=\"(?P<at>[^\"]{1,64})\" )?level=(?P<level>\w{1,10}) msg=\"(?P<msg>(?:[^\"\\]|\\.)*)\"?(?P<rest>.*)", re.DOTALL
)
_CONSOLE = lazy(r"(?P<at>\d{4}-\d\d-\d\dT\S{6,40}) (?P<level>TRC|DBG|INF|WRN|ERR|FTL|PNC) (?P<msg>.*)", re.DOTALL)
SURE_MEMBER = '"DownstreamStatus":'  # of a line of the access log in JSON
HAS_ALL_REQUESTS = True  # only lines of its access log tell how a request ended
_FAILED = lazy(
    r"'?(?P<status>\d{3}) (?:Bad Gateway|Gateway Timeout|Client Closed Request|Internal Server Error|Service Unavailable)'?(?: caused by:|(?:\s*\|)?\s+error=)\s*(?P<why>.*)",
    re.DOTALL,
)
_REQUEST = (
    r"(?P<client>\S{1,100}) - (?P<user>\S{1,255}) \[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] \"(?P<request>(?:[^\"\\]|\\.)*+)\" "
    r"(?P<status>\d{1,3}|-) (?P<size>\d{1,18}|-) \""
)
_COMMON = lazy(
    _REQUEST
    + r"(?:[^\"\\]|\\.)*+\" \"(?:[^\"\\]|\\.)*+\" \d{1,18} \"(?P<router>(?:[^\"\\]|\\.)*+)\" \"(?P<url>(?:[^\"\\]|\\.)*+)\" (?P<ms>\d{1,12})ms"
)
_HEAD = lazy(_REQUEST)
_NUMBER, _TOOK = lazy(r" \d{1,18} "), lazy(r" (\d{1,12})ms")
# Of the texts in Traefik's own responses, by status. "no available server" and "404 page not found" name no server.
_OWN_SIZES = {500: 21, 502: 11, 504: 15, 499: 21}
# Which faults gave which status, measured: docs/gateways/traefik.md. The access log has no more than the status.
_BY_STATUS = {
    500: "tls-verify-failed invalid-response wrong-protocol response-header-too-big premature-close",
    502: "backend-not-running premature-close connection-reset wrong-port dns-host-not-found wrong-protocol connect-rejected",
    504: "backend-too-slow connect-timeout backend-hung proxy-timeout-too-short container-network-mismatch",
}
_CHECK = lazy(r"[Hh]ealth ?check failed(?P<why>.{0,2000})", re.DOTALL)
_CHECK_STATUS = lazy(r"received (?:error|not healthy|non-?\w{0,8}) status code: (\d{3})|status code: (?:got )?(\d{3})")
_URL = lazy(r"(?:targetURL|backend|URL)=\"?(\w{1,10}://[^\s\"]{1,300})")
_PHRASES = (
    (lazy(r"Could not find network named '?\"?(?P<detail>[^'\"\s]+)"), "container-network-mismatch connect-timeout", Symptom.CONNECT_TIMED_OUT),
    (lazy(r"the service \\?\"(?P<detail>[^\"\\]+)\\?\" does not exist|servers? not found|service not found"), "route-target-missing no-upstream-members", Symptom.ROUTE_TARGET_MISSING),
    (lazy(r"subset not found|no servers? (?:found|available)|endpoints? not found|unable to find the IP address|is missing a port|port is missing"), "no-upstream-members", Symptom.NO_MEMBERS),
    (lazy(r"CircuitBreaker.{0,40}(?:open|tripped)|Blocked by circuit.?breaker"), "circuit-breaker-open", Symptom.CIRCUIT_OPEN),
)  # fmt: skip


def fits(sample: list[str]) -> float:
    """Return the share of lines written by Traefik."""
    return share(sample, lambda line: parse(line) is not None)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if Traefik did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    is_object = line.lstrip().startswith("{")
    if is_object and "DownstreamStatus" in (entry := members(line)):
        return _access(entry)
    if match := _COMMON.search(line):
        return _common(match.groupdict())
    if line.endswith("ms") and (found := _quoted(line)):
        return _common(found)
    if is_object:
        entry = members(line)
        text = text_of(entry, "message", "msg")
        text = f"{text} error={text_of(entry, 'error')} targetURL={text_of(entry, 'targetURL')}"
        return _own(text, iso(entry.get("time")), text_of(entry, "level")) if text_of(entry, "message", "msg") else None
    if match := _LOGFMT.search(line):
        return _own(match["msg"].replace('\\"', '"') + match["rest"], iso(match["at"]), match["level"])
    if match := _CONSOLE.search(line):
        return _own(match["msg"], iso(match["at"]), match["level"].lower())
    return _own(line, None, "") if _FAILED.search(line) else None


def _own(text: str, at: Any, level: str) -> LogRecord | None:
    common = {"format": NAME, "proxy": "traefik", "program": "traefik", "at": at, "level": level, "message": text}
    if match := _FAILED.search(text):
        found = understand(match["why"].strip().strip('"'))
        status = int(match["status"])
        if found is None:
            return coded_record(None, Symptom.CLIENT_CLOSED if status == 499 else Symptom.GATEWAY_STATUS, status=status, **common)
        row = None
        if found.symptom is Symptom.CONNECT_TIMED_OUT and found.target and _is_container(found.target.host):
            row = code("", "", found.symptom, "container-network-mismatch connect-timeout wrong-address")
        return coded_record(row, found.symptom, status=status, target=found.target, detail=found.detail, **common)
    if match := _CHECK.search(text):
        return _health(match["why"], common)
    for pattern, causes, symptom in _PHRASES:
        if match := pattern.search(text):
            row = Code(code="", message="", symptom=symptom, causes=tuple(causes.split()))
            return coded_record(row, detail=match.groupdict().get("detail") or "", **common)
    return coded_record(None, **common) if "traefik" in text or "aefik" in text else None


def _health(why: str, common: dict[str, Any]) -> LogRecord:
    """Return the record of a failed health check: the status that it got, or what went wrong on the way."""
    url = _URL.search(why)
    to = target(url[1]) if url else None
    if status := _CHECK_STATUS.search(why):
        row = Code(code="", message="", symptom=Symptom.HEALTH_CHECK_STATUS, causes=("health-check-misconfigured",))
        return coded_record(row, target=to, detail=status[1], **common)
    found = understand(why)
    if found is None:
        row = Code(code="", message="", symptom=Symptom.HEALTH_CHECK_FAILED, causes=("health-check-misconfigured",))
        return coded_record(row, target=to, **common)
    return coded_record(None, found.symptom, target=found.target or to, detail=found.detail, **common)


def _is_container(host: str) -> bool:
    """Return whether an address is in the range that Docker assigns to its networks (172.17.0.0/12 and up)."""
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "172" and 17 <= (number(parts[1]) or 0) <= 31


def _quoted(line: str) -> dict[str, str] | None:
    """Return the parts of a line whose header contains quotes, which Traefik does not escape; the end of the line has none."""
    parts, head = line.rsplit('"', 5), _HEAD.match(line)
    if head is None or len(parts) < 6 or not _NUMBER.fullmatch(parts[1]) or not (took := _TOOK.fullmatch(parts[5])):
        return None
    return {**head.groupdict(), "router": parts[2], "url": parts[4], "ms": took[1]}


def _common(match: dict[str, str]) -> LogRecord:
    status, url, size = number(match["status"]), match["url"], number(match["size"])
    is_own = url == "-" or status is None or status < 500 or _OWN_SIZES.get(status) == size
    return _ended(
        status,
        None if is_own else status,
        is_nobody=url == "-",
        at=clf(match["at"]),
        target=target(url),
        client=match["client"],
        group=match["router"] if match["router"] != "-" else "",
        request=match["request"],
        bytes_sent=size,
        duration_s=int(match["ms"]) / 1000,
    )


def _access(entry: dict[str, Any]) -> LogRecord:
    status, own, size = (
        number(entry.get("DownstreamStatus")),
        number(entry.get("OriginStatus")),
        number(entry.get("OriginContentSize")),
    )
    is_own = own is not None and _OWN_SIZES.get(own) == size
    duration, origin = seconds(entry.get("Duration")), seconds(entry.get("OriginDuration"))
    return _ended(
        status,
        own if not is_own else None,
        is_nobody=not text_of(entry, "ServiceAddr", "ServiceURL"),
        at=iso(entry.get("StartUTC")) or iso(entry.get("time")),
        target=target(text_of(entry, "ServiceAddr")),
        client=text_of(entry, "ClientHost"),
        server=text_of(entry, "RequestHost"),
        group=text_of(entry, "ServiceName", "RouterName"),
        request=" ".join(text for name in ("RequestMethod", "RequestPath", "RequestProtocol") if (text := text_of(entry, name))),
        bytes_sent=number(entry.get("DownstreamContentSize")),
        duration_s=duration / 1e9 if duration is not None else None,
        response_s=origin / 1e9 if origin else None,
    )


def _ended(status: int | None, own: int | None, *, is_nobody: bool, **fields: Any) -> LogRecord:
    """Return the record of a request that ended with a status; `own` is the backend's, if logged."""
    row: Code | None = None
    if is_nobody and (status or 0) < 499:  # a middleware answered, without asking a server
        fields["group"] = ""
    if status == 499:
        row = code("499", "", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow backend-hung")
    elif status == 404 and is_nobody:
        row = code("404", "", Symptom.ROUTE_MISSING, "route-not-found", failure=False)
    elif status == 503 and is_nobody:
        row = code(
            "503",
            "",
            Symptom.NO_LIVE_UPSTREAMS,
            "all-upstreams-down no-upstream-members health-check-misconfigured circuit-breaker-open",
        )
    elif status == 429 and is_nobody:
        row = code("429", "", Symptom.RATE_LIMITED, "rate-limited")
    elif status is not None and status >= 500 and own == status:
        row = code(str(status), "", Symptom.UPSTREAM_STATUS, "upstream-error-status")
    elif status is not None and status >= 500:
        row = code(str(status), "", Symptom.GATEWAY_STATUS, _BY_STATUS.get(status, "upstream-error-status"))
    return coded_record(
        row, format=NAME, proxy="traefik", program="traefik", is_final=True, status=status, upstream_status=own, **fields
    )
