"""varnishlog of Varnish Cache 3 to 7: the records that give the reason of a failed fetch, each parsed on its own.

Source: bin/varnishd/cache/cache_backend.c, cache_fetch.c, http1/cache_http1_proto.c; vsl(7). Records have no time unless a person
added one.
"""

from __future__ import annotations

import re
from typing import Any

from why502.gateways.codes import Code, code
from why502.logs import stamps
from why502.logs.coded import LIMIT, coded_record, target
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "varnish"
MARKS = (
    b"FetchError",
    b" RespStatus ",
    b"Backend_health",
    b"BackendOpen",
    b"Backend fetch failed",
    b"Guru Meditation",
    b"no backend connection",
    b"BerespReason",
    b"Child (",
    b"VCL compilation",
)
_TAG = lazy(
    r"(?:^|\s|-)(?P<tag>FetchError|Backend_health|BackendOpen|BackendReuse|BerespReason|BerespStatus|(?<=-  )Error(?= {3}))\s+"
    r"(?:[bc-]\s+)?(?P<text>\S.*)"
)
# One transaction in one line, as `shared_log` writes it: time, kind, number, method, URL, backend, address, seconds. The
# unwrapper may have removed the time as that of a container runtime.
_WHOLE = lazy(
    r"(?:\S{10,40} )?(?:BeReq|Request) \d{1,19} (?P<method>\S{1,40}) (?P<url>\S{1,4000}) (?P<backend>\S{1,200}) (?P<to>\S{1,200})"
    r" (?P<took>\d{1,9}\.\d{1,6}) (?P<tag>FetchError|RespStatus) {1,9}(?P<text>\S.*)"
)
_ERRNOS = {
    2: Symptom.SOCKET_PATH_MISSING,
    13: Symptom.CONNECT_DENIED,
    24: Symptom.FILES_EXHAUSTED,
    99: Symptom.NO_LOCAL_PORT,
    101: Symptom.HOST_UNREACHABLE,
    110: Symptom.CONNECT_TIMED_OUT,
    111: Symptom.CONNECT_REFUSED,
    113: Symptom.HOST_UNREACHABLE,
}
_WORDS = {  # strerror(3): other systems have other numbers
    "Connection refused": Symptom.CONNECT_REFUSED,
    "timed out": Symptom.CONNECT_TIMED_OUT,
    "No route to host": Symptom.HOST_UNREACHABLE,
    "unreachable": Symptom.HOST_UNREACHABLE,
    "Permission denied": Symptom.CONNECT_DENIED,
    "No such file": Symptom.SOCKET_PATH_MISSING,
    "Cannot assign": Symptom.NO_LOCAL_PORT,
    "Can't assign": Symptom.NO_LOCAL_PORT,
    "Too many open files": Symptom.FILES_EXHAUSTED,
    "reset by peer": Symptom.CONNECT_RESET,
}
_BACKEND = lazy(r"(?:backend|Director) (?P<b>[\w.()-]{1,200}):? ")
_FAIL = lazy(r"fail errno (\d{1,3})|Open error (\d{1,3})")
_TEXTS = tuple(
    (lazy(pattern), row)
    for pattern, row in (
        (r"Cannot allocate memory", code("memory", "", Symptom.MEMORY_EXHAUSTED, "memory-pressure cache-storage-full")),
        (r": unhealthy", code("unhealthy", "", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured")),
        (r": busy", code("busy", "", Symptom.PEER_LIMIT, "upstream-connection-limit backend-too-slow")),
        (r"returned no backend", code("no backend", "", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members")),
        (r"^No backend$", code("no backend", "", Symptom.NO_MEMBERS, "no-upstream-members")),
        (r"no backend connection", code("no backend connection", "", Symptom.CONNECT_FAILED, "backend-not-running connect-timeout all-upstreams-down")),
        (r"first byte timeout|^HTC timeout|^HTC idle|^HTC status -?3|^timeout|http first read error: -1 11", code("first byte timeout", "", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung workers-exhausted")),
        (r"^HTC eof|^HTC status -[14]|backend closed|http (?:first )?read error: EOF|http first read error: -1", code("HTC eof", "", Symptom.CLOSED_BEFORE_HEADER, "premature-close connection-reset keepalive-race backend-crashed wrong-protocol")),
        (r"^overflow|^HTC overflow|^HTC status -2|http read error: overflow", code("overflow", "", Symptom.HEADER_TOO_BIG, "response-header-too-big")),
        (r"[Hh]eader too long|[Tt]oo many headers", code("header too long", "", Symptom.HEADER_TOO_BIG, "response-header-too-big invalid-response")),
        (r"http format error|Received junk|HTC junk|^HTC status -5", code("http format error", "", Symptom.HEADER_INVALID, "invalid-response response-header-too-big wrong-protocol")),
        (r"straight (?:insufficient bytes|read_error|from backend)|eof read_error|[Cc]hunked (?:read err|header|tail)", code("short body", "", Symptom.CLOSED_IN_BODY, "truncated-response backend-too-slow backend-crashed")),
        (r"req\.body read error", code("request body", "", Symptom.SEND_FAILED, "connection-reset client-closed-request request-too-large")),
        (r"Resource temporarily unavailable", code("between bytes timeout", "", Symptom.BODY_TIMED_OUT, "truncated-response backend-too-slow")),
        (r"[Ww]orkspace|Body cannot be fetched|Pass delivery failed", code("workspace", "", Symptom.WORKSPACE, "proxy-workspace-exhausted")),
        (r"Could not (?:get|allocate) storage|Failed to create object", code("storage", "", Symptom.CACHE_FULL, "cache-storage-full disk-full")),
        (r"[Gg]un[gz]ip|inflate|G(?:un)?zip error", code("gzip", "", Symptom.BODY_INVALID, "invalid-response")),
        (r"proxy write errno|backend write error", code("write error", "", Symptom.SEND_FAILED, "connection-reset")),
    )
)  # fmt: skip
_HEALTH = lazy(r"(?:- )?(?P<b>[\w.():-]{1,200}) (?P<what>Went sick|Still sick|Back healthy|Still healthy) (?P<more>.*)")
_PANIC = lazy(r"Child \(\d{1,10}\) (?:died|Panic)|Child \(\d{1,10}\) not responding to CLI")


def fits(sample: list[str]) -> float:
    """Return the share of lines of a varnishlog."""
    return share(
        sample,
        lambda line: (
            _WHOLE.match(line) or _TAG.search(line[:200]) or re.match(r"\*{1,4} +<< +\w+|-{1,5} {2,}[A-Z]\w+ {2,}", line)
        ),
    )


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if it is unrelated to a fetch."""
    line = line[:LIMIT].rstrip("\r\n")
    common: dict[str, Any] = {"format": NAME, "proxy": "varnish", "program": "varnishd", "at": stamps.find(line), "message": line}
    if _PANIC.search(line):
        return coded_record(None, Symptom.PROXY_WORKER_DIED, **common)
    if whole := _WHOLE.match(line):
        return _of_transaction(whole, common)
    match = _TAG.search(line)
    if match is None:
        is_page = "Backend fetch failed" in line or "Guru Meditation" in line
        return coded_record(None, Symptom.GATEWAY_STATUS, status=503, **common) if is_page else None
    text = match["text"].strip()
    if match["tag"] == "Backend_health":
        return _health(text, common)
    if match["tag"] == "BackendOpen":
        words = text.split()
        return coded_record(None, target=target(":".join(words[2:4])) if len(words) > 3 else None, **common)
    if match["tag"] not in ("FetchError", "Error"):
        return None
    return _failed(text, common)


def _of_transaction(match: re.Match[str], common: dict[str, Any]) -> LogRecord:
    """Return the record of one request: a failed fetch, or an error status from VCL or the backend."""
    common |= {"request": f"{match['method']} {match['url']}", "duration_s": float(match["took"]), "target": target(match["to"])}
    common |= {"group": "" if match["backend"] == "-" else match["backend"]}
    if match["tag"] == "FetchError":
        return _failed(match["text"], common)
    status, _, maker = match["text"].partition(" ")
    number = int(status) if status.isdigit() and len(status) == 3 else None
    if maker == "restarts":
        words = "VCL restarts the request again and again, more often than max_restarts"
        return coded_record(None, Symptom.REWRITE_CYCLE, status=number, detail=words, **common)
    if maker == "synth":
        return coded_record(None, Symptom.OWN_STATUS, status=number, detail="VCL answers it itself (synth)", **common)
    return coded_record(None, Symptom.UPSTREAM_STATUS, status=number, upstream_status=number, **common)


def _failed(text: str, common: dict[str, Any]) -> LogRecord:
    """Return the record of a FetchError's text."""
    row, symptom = _meaning(text)
    backend = _BACKEND.search(text)
    if row is None and symptom is None:
        symptom = Symptom.CONNECT_FAILED if "fail errno" in text else Symptom.GATEWAY_STATUS
    symptom_of = symptom or (row.symptom if row else None)
    status = None if symptom_of in (Symptom.CLOSED_IN_BODY, Symptom.BODY_TIMED_OUT) else 503
    group = backend["b"] if backend else ""
    return coded_record(row, symptom, **{**common, "status": status, "group": group or common.get("group", ""), "detail": text})


def _meaning(text: str) -> tuple[Code | None, Symptom | None]:
    if match := _FAIL.search(text):
        said_so = next((symptom for words, symptom in _WORDS.items() if words in text[match.end() :]), None)
        return None, said_so or _ERRNOS.get(int(match[1] or match[2]))
    return next((row for pattern, row in _TEXTS if pattern.search(text)), None), None


def _health(text: str, common: dict[str, Any]) -> LogRecord | None:
    """Return the record of a health check: `web3 Still sick 4--X-R- 0 3 5 0.000803 0.000000 HTTP/1.1 403 Forbidden`."""
    match = _HEALTH.match(text)
    if match is None:
        return None
    group, more = match["b"], match["more"]
    if "healthy" in match["what"]:
        return coded_record(None, group=group, **common)
    if status := re.search(r"HTTP/\d\.\d (\d{3})", more):
        number = int(status[1])
        answered = Symptom.UPSTREAM_STATUS if number >= 500 else Symptom.HEALTH_CHECK_STATUS
        return coded_record(
            None, answered, group=group, detail=f"the health check got {number}", upstream_status=number, **common
        )
    _, symptom = _meaning(more)
    return coded_record(None, symptom or Symptom.HEALTH_CHECK_FAILED, group=group, detail=more, **common)
