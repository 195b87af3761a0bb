"""Caddy 2: its JSON log and its console format (TIME TAB LEVEL TAB logger TAB message TAB {json}).

Source: modules/caddyhttp/server.go, modules/caddyhttp/reverseproxy/*.go. A failed request has two lines: one in http.log.error,
whose message is Go's error text, and one in http.log.access without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from why502.gateways.codes import Code
from why502.logs.coded import LIMIT, clf, coded_record, epoch, iso, members, number, seconds, target, text_of
from why502.logs.go_errors import understand
from why502.logs.native.described import Members
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

NAME = "caddy"
_OTHERS = Members(
    members={
        "logger": "key", "ts": "time", "level": "key2", "status": "key3", "msg": "message", "error": "key4", "request.host": "server",
        "upstream": "key5", "host": "key6",
    },
    clock="seconds", flags=("said",),
    asks=("text key", "text key2", "text key3", "template message", "template key4", "text key5", "text key6", "text server"),
)  # fmt: skip
LAYOUTS = tuple(
    Members(
        members={
            "logger": "key", "ts": "time", "status": "status", f"request.{client}": "client", "request.host": "server",
            "request.method": "method", "request.uri": "uri", "duration": "total", "resp_headers": "key2",
        },
        clock="seconds", flags=("protocol", "clients"), expects={"key": "http.log.access"}, asks_of_failures=("names key2",), also=(_OTHERS,),
    )
    for client in ("client_ip", "remote_ip")
)  # fmt: skip
MARKS = (
    b"http.log",
    b"http.handlers",
    b'"logger"',
    b"reverse_proxy",
    b"reverseproxy",
    b"HTTP 50",
    b"HTTP request failed",
    b"http.reverse_proxy",
    b"[ERROR ",
    b"making dial info",
)
CHECK = "active health check"  # the code of a line about one
HAS_SURE_FAILURES = True  # no other format writes a line with a time that means a failure to `parse`
_CONSOLE = lazy(
    r"(?P<at>\d{4}[/-]\d\d[/-]\d\d[T ][\d:.]{8,20}Z?|\d\.\d{6,20}e\+\d\d)\s{1,8}(?P<level>(?i:DEBUG|INFO|WARN|ERROR))\s{1,8}(?P<logger>(?:http|tls|admin|caddy)[\w.-]{0,80})\s{1,8}(?P<msg>[^\t{]{0,600})\t?(?P<json>\{.*)?$",
    re.DOTALL,
)
_TIMELESS = lazy(
    r"(?:(?P<level>DEBUG|INFO|WARN|ERROR)\s{1,8})?(?<!\S)(?P<logger>http\.(?:log|handlers)\.[\w.-]{1,80})\s{1,8}(?P<msg>[^\t{]{1,2000})$"
)
_FIRST = lazy(  # of Caddy 1 (caddyhttp/errors)
    r"(?:(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}) )?\[ERROR (?P<status>\d{1,3}) (?P<uri>[^\]\s]{1,2000})\] (?P<msg>.*)",
    re.DOTALL,
)
_CUT = lazy(r'"logger": ?"(?P<logger>http[^"]{0,80})", ?"msg": ?"(?P<msg>(?:[^"\\]|\\.)*)')  # of a truncated object
_DIAL = lazy(r"(?<![\w ])(making dial info: .{1,2000})", re.DOTALL)  # of an object truncated before its logger
_BARE = lazy(r"\bHTTP (?P<status>50[0234]): (?P<msg>\S.{0,2000})")
_OWN = (
    "http",
    "tls",
    "admin",
    "caddy",
    "pki",
    "events",
    "storage",
    "docker-proxy",
    "dynamic_dns",
    "layer4",
)  # the loggers of Caddy and its modules
_LAST = 20_000  # requests remembered from http.log.error until their line in http.log.access arrives, in this log or another
HAS_ALL_REQUESTS = True  # its access log: every line of http.log.access
IS_ONE_STREAM = True  # a failure has lines in two logs: that of the program, and that of the site
_TS = lazy(r'"ts": ?(\d{9,11}(?:\.\d{1,9})?)')


def fits(sample: list[str]) -> float:
    """Return the share of lines written by Caddy."""
    return share(sample, lambda line: parse(line) is not None)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if Caddy did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    if match := _CONSOLE.search(line):
        at = epoch(float(match["at"])) if "e+" in match["at"] else iso(match["at"].replace("/", "-").replace(" ", "T"))
        entry = members(match["json"]) if match["json"] else {}
        return _entry(match["logger"], match["msg"].strip(), entry, at, match["level"].lower())
    start = line.find("{")
    if start >= 0:
        entry = members(line)
        logger = text_of(entry, "logger")
        if entry and logger.startswith(_OWN):
            return _entry(
                logger, text_of(entry, "msg"), entry, epoch(entry.get("ts")) or iso(entry.get("ts")), text_of(entry, "level")
            )
        if not entry and (match := _CUT.search(line)):
            at = epoch(float(found[1])) if (found := _TS.search(line)) else None
            return _entry(match["logger"], match["msg"].strip().replace('\\"', '"'), {}, at, "error")
    if match := _FIRST.search(line):
        entry = {"status": int(match["status"]), "request": {"uri": match["uri"]}}
        return _entry("http.log.error", match["msg"], entry, clf(match["at"] or ""), "error")
    if match := _DIAL.search(line):
        return _entry("http.log.error", match[1].replace('\\"', '"'), {}, None, "error")
    if (match := _TIMELESS.search(line)) and understand(match["msg"]):
        return _entry(match["logger"], match["msg"].strip(), {}, None, (match["level"] or "").lower())
    if (match := _BARE.search(line)) and understand(match["msg"]):
        return _entry("http.log.error", match["msg"], {"status": int(match["status"])}, None, "error")
    return None


def _entry(logger: str, message: str, entry: dict[str, Any], at: Any, level: str) -> LogRecord:
    request = entry.get("request") if isinstance(entry.get("request"), dict) else {}
    assert isinstance(request, dict)
    status = number(entry.get("status"))
    upstream = text_of(entry, "upstream", "host") if logger.startswith("http.handlers") else ""
    common: dict[str, Any] = {
        "format": NAME,
        "proxy": "caddy",
        "program": "caddy",
        "at": at,
        "level": level,
        "message": message,
        "client": text_of(request, "client_ip", "remote_ip") or text_of(request, "remote_addr").rpartition(":")[0],
        "server": text_of(request, "host"),
        "request": " ".join(text for name in ("method", "uri", "proto") if (text := text_of(request, name))),
        "status": status,
        "duration_s": seconds(entry.get("duration", entry.get("latency"))),
    }
    common["thread"] = text_of(request, "remote_port") or text_of(request, "remote_addr").rpartition(":")[2]
    if logger.startswith("http.log.access"):
        return _access(entry, status, common)
    text = " ".join(part for part in (message, text_of(entry, "error")) if part)
    found = understand(text)
    if "health_checker" in logger:
        return _health(message, text, upstream, common)
    if found is None:
        is_own = logger.startswith("http.log.error") and status is not None and status >= 500
        row = Code(code="", message="", symptom=Symptom.PROXY_INTERNAL, is_gateway_failure=True) if is_own else None
        return coded_record(row, **common)
    causes: tuple[str, ...] = ("keepalive-race", "premature-close") if "idle connection" in text else ()
    row = Code(code="", message="", symptom=found.symptom, causes=causes, is_gateway_failure=True) if causes else None
    if (
        found.symptom is Symptom.CLIENT_CLOSED and "incomplete response" in message
    ):  # the response had started: a cancelled download
        common["phase"] = Phase.READ_BODY
    return coded_record(
        row, found.symptom, is_final=bool(status), target=found.target or target(upstream), detail=found.detail, **common
    )


def stitcher() -> Callable[[LogRecord], LogRecord]:
    """Return the function that compares the records of one stream.

    The access line of a failure repeats its http.log.error line.
    """
    reported: dict[tuple[object, ...], int] = {}

    def stitch(record: LogRecord) -> LogRecord:
        if not record.request or (record.status or 0) < 500:
            return record
        key = (record.client, record.thread, record.request)
        count = reported.pop(key, 0)
        if record.level:
            reported[key] = count + 1
            if len(reported) > _LAST:
                del reported[next(iter(reported))]
        elif count:
            if count > 1:
                reported[key] = count - 1
            return replace(record, is_repeat=True)
        return record

    return stitch


def _access(entry: dict[str, Any], status: int | None, common: dict[str, Any]) -> LogRecord:
    """Return the record of an access line. Response headers that Caddy does not set mean that the backend answered."""
    headers = entry.get("resp_headers")
    names = {str(name).lower() for name in headers} if isinstance(headers, dict) else set()
    common["bytes_sent"] = number(entry.get("size"))
    common["level"] = ""  # Caddy logs each 5xx at level "error", which only repeats the status
    if status == 0 and common["message"] == "NOP":  # no route took it: the client got an empty 200
        row = Code(code="", message="", symptom=Symptom.ROUTE_MISSING, causes=("route-not-found",))
        return coded_record(row, is_final=True, **common)
    if status in (0, 499):
        return coded_record(None, Symptom.CLIENT_CLOSED, is_final=True, **common)
    if status is not None and status >= 500:
        own = bool(names - {"server", "alt-svc"})
        symptom = Symptom.UPSTREAM_STATUS if own else Symptom.GATEWAY_STATUS
        return coded_record(None, symptom, is_final=True, upstream_status=status if own else None, **common)
    return coded_record(None, is_final=True, **common)


def _health(message: str, text: str, upstream: str, common: dict[str, Any]) -> LogRecord:
    """Return the record of an active health check."""
    common["code"] = CHECK
    if "status code" in message:
        return coded_record(None, Symptom.HEALTH_CHECK_STATUS, target=target(upstream), **common)
    found = understand(text)
    symptom = found.symptom if found else Symptom.HEALTH_CHECK_FAILED if "failed" in message else None
    return coded_record(None, symptom, target=(found.target if found else None) or target(upstream), **common)
