"""HAProxy: its HTTP, CLF and TCP logs, and its messages about servers, proxies and its own start.

Source: doc/configuration.txt sections 8.2 (formats) and 8.5 (termination states), src/server.c, src/check.c, src/log.c. Times are
local, without a zone, except in CLF. The address of the actual connection is not logged: `group` is `backend/server`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import structs

from why502.gateways.codes import Code
from why502.gateways.haproxy.codes import CHECKS, PRODUCT
from why502.gateways.haproxy.states import MAINTENANCE
from why502.logs.coded import LIMIT, clf, coded_record, epoch, iso, members, number, text_of
from why502.logs.native.described import Described, Members, Text
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "haproxy"
_HTTP_LINE = "{client} [{time}] {server} {address} {wait}/{wait2}/{connect}/{header}/{total} {status} {#} {_} {_} {key} {_} {_} "
_MS = dict.fromkeys(("connect", "header", "total", "wait", "wait2"), 10**6)
_ASKS = ("text key", "sign connect", "round total 5000000 5000000 500000")  # the values that `_meaning` uses
_TIMERS = tuple(f"integer {name}" for name in _MS)
_TCP = Text(
    template="{client}:{_} [{time}] {server} {address} {wait2}/{connect}/{total} {#} {key} {_} {_}",
    clock="haproxy", units=_MS, flags=("said",), strips="~", asks=(*_ASKS, "text address", "text server"),
    checks=("integer wait2", "integer connect", "integer total", "without client []", "around address /", "without server []"),
)  # fmt: skip
_HANDSHAKE = Text(
    template="{client}:{#} [{time}] {server}: {message}", clock="haproxy", flags=("said",), asks=("sentence message (",),
)  # fmt: skip
_EVENTS = tuple(
    Text(
        template=begin + "{message}", clock="", flags=("said",),
        # What is left out says how long a check took, and how many requests there were
        asks=("sentence message duration: |left. |online. |active, |requeued, |requeued on |queue. ",),
    )
    for begin in ("Server ", "Backup Server ", "backend ", "proxy ", "Health check for ")
)  # fmt: skip
LAYOUTS = (
    *(
        Text(
            template=_HTTP_LINE + rest, clock="haproxy", units=_MS, flags=("bare", "port", "summed"), strips="~",
            asks=(*_ASKS, "within server address"),
            checks=(*_TIMERS, "without client []", "around address /", "without server []", "capital request"), also=(_TCP, _HANDSHAKE, *_EVENTS),
        )
        for rest in ('"{request}"', '{{_}} "{request}"', '{{_}} {{_}} "{request}"')  # captured headers are in braces
    ),
    replace(_TCP, also=(_HANDSHAKE, *_EVENTS)),
    replace(_HANDSHAKE, also=_EVENTS),
    replace(_EVENTS[0], also=_EVENTS[1:]),
)  # fmt: skip
MARKS = (
    *(b"-- ", b"/-1", b"<NOSRV>", b" SD ", b" sD ", b" SC ", b" sC ", b" is DOWN", b" is UP", b"Health check for", b"no server available"),
    *(b"going DOWN", b"could not resolve address", b"cannot bind socket", b"Connect() failed for backend", b"before connect() for", b"Layer4 ", b"Layer6 ", b"Layer7 "),
    *(b" reached ", b"Error(s) found in configuration", b"Fatal errors found in configuration", b" : config : ", b"unknown keyword"),
    *(b"ermination_state", b"SSL handshake failure", b"enters drain state", b"): invalid response", b"): invalid request", b"not found for service", b"for service"),
)  # fmt: skip
IS_UNMISTAKABLE = True
_NUMBER = r"[-+]?\d{1,12}"
_HTTP = lazy(
    r"(?:(?<![^\s\"'])(?P<client>[^\s\[\]]{1,100}?):(?P<cp>\d{1,5}) )?\[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(?:\.\d{1,6})?)\] (?P<ft>\S{1,200}) "
    rf"(?P<b>[^/ ]{{1,200}})/(?P<s>\S{{1,200}}) (?:(?P<TR>{_NUMBER})/)?(?P<Tw>{_NUMBER})/(?P<Tc>{_NUMBER})/(?:(?P<Tr>{_NUMBER})/)?(?P<Ta>{_NUMBER}) "
    rf"(?:(?P<ST>-?\d{{1,4}}) )?(?P<B>{_NUMBER}) (?:(?P<CC>\S{{1,200}}) (?P<CS>\S{{1,200}}) )?(?P<ts>[CSPLRIDUKcs-][RQCHDLT-][\w-]{{0,2}})(?= )(?P<rest>.*)",
    re.DOTALL,
)
_CLF = lazy(
    r"(?<!\S)(?P<client>\S{1,100}) - - \[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] \"(?P<r>(?:[^\"\\]|\\.)*+)\" (?P<ST>-?\d{1,4}) "
    rf"(?P<B>{_NUMBER}) \"\" \"\" (?P<cp>\d{{1,5}}) \d{{1,6}} \"(?P<ft>[^\"]*)\" \"(?P<b>[^\"]*)\" \"(?P<s>[^\"]*)\" (?P<TR>{_NUMBER}) (?P<Tw>{_NUMBER}) "
    rf"(?P<Tc>{_NUMBER}) (?P<Tr>{_NUMBER}) (?P<Ta>{_NUMBER}) (?P<ts>[CSPLRIDUKcs-][RQCHDLT-][\w-]{{0,2}}) (?P<rest>.*)",
    re.DOTALL,
)
_CUT = lazy(  # the start is missing, up to the frontend's name; the counters after the state identify the format
    rf"(?P<ft>\S{{1,200}}) (?P<b>[^/ ]{{1,200}})/(?P<s>\S{{1,200}}) (?P<TR>{_NUMBER})/(?P<Tw>{_NUMBER})/(?P<Tc>{_NUMBER})/(?P<Tr>{_NUMBER})/(?P<Ta>{_NUMBER}) "
    rf"(?P<ST>-?\d{{1,4}}) (?P<B>{_NUMBER}) (?P<CC>\S{{1,200}}) (?P<CS>\S{{1,200}}) (?P<ts>[CSPLRIDUKcs-][RQCHDLT-][\w-]{{0,2}}) (?P<rest>(?:\d{{1,9}}/){{4}}\+?\d.*)",
    re.DOTALL,
)
_NAMES = {
    "ts": ("termination_state", "haproxy_termination_state"),
    "at": (
        "haproxy_timestamp",
        "accept_date",
        "request_date",
        "timestamp",
        "@timestamp",
        "time",
        "date",
        "time_local",
        "accept_time",
    ),
    "ST": ("http_status", "status_code", "status"),
    "b": ("backend_name", "backend"),
    "s": ("server_name", "server"),
    "address": ("upstream_addr", "server_ip"),
    "ft": ("frontend_name", "frontend"),
    "client": ("client_ip", "client", "client_address", "src", "remote_addr", "remote_ip"),
    "TR": ("TR", "Tq", "time_request", "time_client_request"),
    "Tw": ("Tw", "time_queue", "time_queued", "time_wait", "queue_time"),
    "Tc": ("Tc", "upstream_connect_time", "connect_time", "time_connect", "time_backend_connect"),
    "Tr": ("Tr", "upstream_response_time", "response_time", "time_response", "time_backend_response", "time_server_response"),
    "Ta": ("Ta", "Tt", "active_time", "session_duration", "time_duration", "time_active", "time_total", "total_time", "duration"),
    "B": ("bytes_read", "bytes_sent", "bytes", "response_size"),
    "request": ("http_request", "request"),
    "method": ("http_method", "request_method", "method", "verb"),
    "uri": ("request_uri", "http_uri", "uri", "http_path", "request_path", "path", "url"),
}
_STATE = lazy(r"[CSPLRIDUKcs-][RQCHDLT-][\w-]{0,2}")
_REQUEST = lazy(r"\"((?:[A-Z]{1,20}|<BADREQ>)[^\"]{0,4000})")
_SERVER = r"(?:Backup )?[Ss]erver (?P<b>[^\s/]{1,200})/(?P<s>[^\s,]{1,200})"
_REASON = lazy(
    r"(?:reason: )?(?P<reason>Layer[467] [a-z ]{2,40}|Socket error|Health analyze|External check (?:error|timeout))(?:, code: (?P<status>\d{3}))?"
    r"(?:,? \(?info: \\?\"(?P<info>[^\"]*)\")?"
)
_DOWN = lazy(
    _SERVER + r" (?P<what>is DOWN|is going DOWN for maintenance|is UP|enters drain state|is stopping)(?P<more>.*)", re.DOTALL
)
_HEALTH = lazy(
    r"Health check for (?:backup )?" + _SERVER + r" (?:conditionally )?(?P<what>succeeded|failed)(?P<more>.*)", re.DOTALL
)
_INFOS = {  # the possible info texts of "Layer4 connection problem"
    "No route to host": Symptom.HOST_UNREACHABLE,
    "Network is unreachable": Symptom.HOST_UNREACHABLE,
    "Connection reset by peer": Symptom.CONNECT_RESET,
    "No such file or directory": Symptom.SOCKET_PATH_MISSING,
    "Permission denied": Symptom.CONNECT_DENIED,
    "Cannot assign requested address": Symptom.NO_LOCAL_PORT,
}
_UNEXPECTED = lazy(r"content check|TCPCHK (?:did not match|matched unwanted)|did not match|matched unwanted")  # src/tcpcheck.c
_MESSAGES = tuple(
    (lazy(pattern), symptom, causes)
    for pattern, symptom, causes in (
        (r"(?:backend|proxy|listen|frontend) '?(?P<b>[^\s']{1,200})'? has no server available", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured"),
        # Show errors
        (r"\] (?:backend|frontend|proxy) (?P<b>\S{1,200}) \(#\d{1,9}\): (?P<detail>invalid response)", Symptom.HEADER_INVALID, "invalid-response response-header-too-big wrong-protocol"),
        (r"\] frontend (?P<b>\S{1,200}) \(#\d{1,9}\): (?P<detail>invalid request)", None, ""),
        # ingress
        (r"[Tt]arget ?port '[^']{0,100}' not found for service (?P<b>\S{1,200})|no (?:usable )?endpoints? (?:found )?for service '?(?P<detail>[^\s']{1,200})", Symptom.NO_MEMBERS, "no-upstream-members wrong-port route-target-missing"),
        (r"could not resolve address '(?P<detail>[^']{1,255})'", Symptom.NAME_NOT_FOUND, "dns-host-not-found proxy-not-running proxy-config-invalid"),
        (r"Connect\(\) failed for backend (?P<b>\S{1,200}): (?P<detail>no free ports|local address already in use)", Symptom.NO_LOCAL_PORT, "ephemeral-ports-exhausted"),
        (r"(?P<detail>[Cc]annot bind to (?:tproxy )?source address) before connect\(\) for backend (?P<b>\S{1,200}?)\.(?:\s|$)", Symptom.BIND_FAILED, "proxy-bind-failed"),
        (r"Connect\(\) failed for backend (?P<b>\S{1,200}): (?P<detail>cannot bind to source address)", Symptom.BIND_FAILED, "proxy-bind-failed"),
        (r"(?P<detail>reached (?:process FD limit|system FD limit)|Not enough FDs|Too many open files)", Symptom.FILES_EXHAUSTED, "too-many-open-files"),
        (r"(?P<detail>reached (?:the configured maximum connection limit|the per-proxy connection limit|system memory limit))", Symptom.WORKER_CONNECTIONS, "worker-connections-exhausted too-many-open-files memory-pressure"),
        (r"cannot bind socket(?: \((?P<detail>[^)]*)\))?", Symptom.LISTEN_FAILED, "proxy-listen-failed port-conflict proxy-not-running"),
        (r"(?P<detail>unknown keyword '[^']{1,100}'.*)|(?P<more>(?:Fatal errors|Error\(s\)) found in configuration)", Symptom.CONFIG_INVALID, "proxy-config-invalid proxy-not-running"),
        (r"\[ALERT\].{0,40}: (?:config : )?(?P<detail>parsing \[[^\]]{1,255}\] : .*)", Symptom.CONFIG_INVALID, "proxy-config-invalid proxy-not-running"),
        (r"(?:\[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d(?:\.\d{1,6})?)\] )?(?<!\S)[^\s/]{1,200}/\S{1,200}: (?:SSL handshake failure|Connection (?:closed|error) during SSL handshake|Received something which does not look like a PROXY protocol header)", None, ""),
        (r"\[ALERT\].{0,60}Current worker .{0,60}exited with code (?P<detail>\d{1,3} \((?:Segmentation fault|Aborted|Killed)\))", Symptom.PROXY_WORKER_DIED, "proxy-worker-crashed"),
    )
)  # fmt: skip


def layouts(sample: Sequence[str]) -> Iterator[Described]:
    """Yield the layout of JSON objects that use the names in the first object of a sample."""
    entry = next((entry for line in sample if "ermination_state" in line and (entry := members(line))), {})
    found: dict[str, str] = {}
    for value, role in _ROLES.items():
        if (name := next((name for name in _NAMES[value] if text_of(entry, name)), None)) is not None:
            found[name] = role
    if "request" in found.values():
        found = {name: role for name, role in found.items() if role not in ("method", "uri")}
    if "key" in found.values():
        yield Members(
            members=found, foreign=tuple(sorted({name for value in _ROLES for name in _NAMES[value]} - found.keys())), clock="haproxy",
            units=_MS, flags=("bare", "summed"), strips="~", asks=(*_ASKS, "text key2", "same key2 server"), where=_named,
            checks=(*_TIMERS, "without key2 /"),
        )  # fmt: skip


def _named(server: str, like: LogRecord) -> str:
    return f"{like.group.partition('/')[0]}/{server}"


_ROLES = {
    "ts": "key", "at": "time", "ST": "status", "b": "key2", "s": "address", "ft": "server", "client": "client", "TR": "wait", "Tw": "wait2",
    "Tc": "connect", "Tr": "header", "Ta": "total", "method": "method", "uri": "uri", "request": "request",
}  # fmt: skip


def fits(sample: list[str]) -> float:
    """Return the share of lines of an HAProxy log."""
    return share(sample, lambda line: "haproxy[" in line[:200] or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of one line, wherever the log's own part starts in it; None if HAProxy did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    if "ermination_state" in line and (entry := members(line)):
        return _json(entry)
    if match := _CLF.search(line):
        return _request(match.groupdict(), match["r"])
    if match := _HTTP.search(line) or _CUT.search(line):
        request = _REQUEST.search(match["rest"])
        return _request(match.groupdict(), request[1] if request else "")
    return _message(line)


def _json(entry: dict[str, Any]) -> LogRecord | None:
    """Return the record of a JSON object from a custom log-format, using common names for the fields."""
    values = {name: text_of(entry, *names) for name, names in _NAMES.items()}
    if not _STATE.fullmatch(values["ts"]):
        return None
    values["b"], values["s"] = values["b"] or "-", values["s"] or values["address"] or "-"
    parts = dict.fromkeys(text for text in (values["method"], values["uri"]) if text)  # a bad request is `<BADREQ>` in both
    return _request(dict(values), values["request"] or " ".join(parts))


def _request(found: dict[str, str | None], request: str) -> LogRecord:
    state = (found["ts"] or "")[:2]
    server, status = found["s"] or "", number(found["ST"])
    took_ms = number((found["Ta"] or "").lstrip("+"))
    code = PRODUCT.codes.get(state) if state != "--" else PRODUCT.codes["----"]
    symptom, causes = _meaning(state, server, status, found, took_ms)
    record = coded_record(
        code,
        symptom,
        format=NAME,
        proxy="haproxy",
        program="haproxy",
        is_final=True,
        at=_at(found.get("at") or ""),
        group=f"{found['b']}/{server}",
        client=found.get("client") or "",
        server=(found["ft"] or "").rstrip("~"),
        request=request,
        status=status if status and status > 0 else None,
        upstream_status=status if state == "--" and not server.startswith("<") else None,
        duration_s=took_ms / 1000 if took_ms is not None and took_ms >= 0 else None,
        **_times(found),
        bytes_sent=number((found["B"] or "").lstrip("+")),
        code=found["ts"] or "",
    )
    if symptom is Symptom.CLIENT_BAD_REQUEST:
        return structs.replace(record, causes=tuple(causes.split()) or record.causes, is_gateway_failure=False)
    if state == "--":
        return structs.replace(record, symptom=symptom, causes=tuple(causes.split()), is_gateway_failure=symptom is not None)
    if symptom is None and code is not None and code.symptom is Symptom.OWN_STATUS:
        return structs.replace(record, symptom=None, causes=(), is_gateway_failure=False)
    return structs.replace(record, causes=tuple(causes.split())) if causes else record


def _at(text: str) -> datetime | None:
    """Return the time in HAProxy's own format, in ISO format or in seconds since 1970."""
    if text[2:3] == "/":
        return clf(text)
    return iso(text) or (epoch(float(text)) if re.fullmatch(r"\d{9,13}(?:\.\d{1,9})?", text) else None)


def _times(found: dict[str, str | None]) -> dict[str, float]:
    """Return the timers of the server in seconds: Tc, Tc + Tr, and Ta less the waits before it (TR, Tw); -1 means none.

    Source: configuration manual, 8.4.
    """
    ms = {
        name: value
        for name in ("TR", "Tw", "Tc", "Tr", "Ta")
        if (value := number((found[name] or "").lstrip("+"))) is not None and value >= 0
    }
    if "Tc" not in ms or any(found[name] for name in ("TR", "Tw") if name not in ms):
        return {}
    times = {"connect_s": ms["Tc"] / 1000}
    if "Tr" in ms:
        times["header_s"] = (ms["Tc"] + ms["Tr"]) / 1000
    if ms.keys() >= {"TR", "Tw", "Ta"}:
        times["response_s"] = max(ms["Ta"] - ms["TR"] - ms["Tw"], 0) / 1000
    return times


def _meaning(
    state: str, server: str, status: int | None, found: dict[str, str | None], took_ms: int | None
) -> tuple[Symptom | None, str]:
    """Return the symptom and causes for the state together with server, status and timers.

    Symptom None: the state's own. Causes "": those of the symptom.
    """
    is_nobody = server == "<NOSRV>"
    match state:
        case "--":
            if status is not None and status >= 500 and not server.startswith("<"):
                return Symptom.UPSTREAM_STATUS, "upstream-error-status"
            return (Symptom.OWN_STATUS, "maintenance-response") if status is not None and status >= 500 else (None, "")
        # From the documentation: no backend was chosen; or a `listen`
        case "SC" if is_nobody and found["b"] == (found["ft"] or "").rstrip("~"):
            return Symptom.ROUTE_MISSING, "route-not-found route-target-missing all-upstreams-down"
        case "SC" if is_nobody:
            return Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members maintenance-response dns-host-not-found"
        case "SC" if (number(found["Tc"]) or 0) >= 0:
            return Symptom.CONNECT_RESET, ""
        case "SH" if took_ms is not None and took_ms >= 5000 and _is_round(took_ms):
            return None, "worker-timeout premature-close backend-crashed keepalive-race"
        case "PR" | "LR" | "LH" | "LC":
            if status == 429:
                return Symptom.RATE_LIMITED, ""
            if status in (400, 413, 414, 431):
                return Symptom.CLIENT_BAD_REQUEST, ""
            if status is not None and status >= 500:
                return Symptom.OWN_STATUS, "denied-by-rule maintenance-response" if state == "PR" else "maintenance-response"
            if state == "PR" and status is None:  # without a status, a rule, a limit and a malformed request look alike
                return Symptom.DENIED_BY_RULE, "denied-by-rule rate-limited maintenance-response client-bad-request"
            return (Symptom.DENIED_BY_RULE, "") if state == "PR" else (None, "")
    return None, ""


def _is_round(took_ms: int) -> bool:
    """Return whether a duration looks like a configured limit: a multiple of five seconds, or up to half a second more."""
    return took_ms % 5000 <= 500


def _message(line: str) -> LogRecord | None:
    if match := _DOWN.search(line) or _HEALTH.search(line):
        return _server(match, line)
    if (match := _REASON.search(line)) and "reason: " in line:  # a line that was wrapped before `reason: `
        return _checked(match, "", line)
    for pattern, symptom, causes in _MESSAGES:
        if match := pattern.search(line):
            groups = match.groupdict()
            code = Code(
                code="", message="", symptom=symptom, causes=tuple(causes.split()), is_gateway_failure=symptom is not None
            )
            return coded_record(
                code, format=NAME, proxy="haproxy", program="haproxy", message=line, group=groups.get("b") or "", detail=groups.get("detail") or "", at=_at(groups.get("at") or "")
            )  # fmt: skip
    return None


def _server(match: re.Match[str], line: str) -> LogRecord:
    group, more = f"{match['b']}/{match['s']}", match["more"]
    if match["what"] in ("is UP", "succeeded", "enters drain state", "is stopping"):
        return coded_record(None, format=NAME, proxy="haproxy", program="haproxy", message=line, group=group)
    if match["what"].startswith("is going"):
        reason = re.search(r"\((DNS [a-zA-Z]+ status|unspecified DNS error|No IP for server|entry removed from SRV record)", more)
        symptom, causes = None, "maintenance-response"
        if reason:
            is_server = "timeout" in reason[1] or "refused" in reason[1] or "unspecified" in reason[1]
            symptom = Symptom.NAME_SERVER_FAILED if is_server else Symptom.NAME_NOT_FOUND
            causes = "dns-resolver-failure dns-host-not-found" if is_server else "dns-host-not-found dns-resolver-failure"
        code = Code(code=MAINTENANCE, message="", symptom=symptom or Symptom.PEER_DISABLED, causes=tuple(causes.split()))
        return coded_record(
            code, format=NAME, proxy="haproxy", program="haproxy", message=line, group=group, detail=reason[1] if reason else "", is_gateway_failure=reason is not None
        )  # fmt: skip
    reason = _REASON.search(more)
    if reason is None:
        return coded_record(
            None,
            Symptom.PEER_DISABLED,
            format=NAME,
            proxy="haproxy",
            program="haproxy",
            message=line,
            group=group,
            is_gateway_failure=False,
        )
    return _checked(reason, group, line)


def _checked(reason: re.Match[str], group: str, line: str) -> LogRecord:
    """Return the record of a failed health check, which has details that request lines lack."""
    said_so = reason["reason"].strip()
    known = next((name for name in CHECKS if said_so.startswith(name) or name.startswith(said_so)), None)  # cut off by a pager
    info, status = reason["info"] or "", number(reason["status"])
    code, symptom = meaning_of_check(known, info, status)
    return coded_record(
        code,
        symptom,
        format=NAME,
        proxy="haproxy",
        program="haproxy",
        message=line,
        group=group,
        detail=", ".join(text for text in (reason["reason"].strip(), reason["status"], info) if text),
        upstream_status=status,
    )


def meaning_of_check(words: str | None, info: str, status: int | None) -> tuple[Code | None, Symptom | None]:
    """Return the code of a failed check, from HAProxy's words for it, and its symptom if that is not the code's own.

    `info`: what HAProxy says of it further. `status`: that of the server's answer.
    """
    code = PRODUCT.codes[CHECKS[words][0]] if words else None
    if words == "Layer7 invalid response" and _UNEXPECTED.search(info):
        words, code = "Layer7 wrong status", PRODUCT.codes["L7STS"]  # an answer, but not with the content that the check expects
    if words == "Layer7 wrong status" and status is not None and status >= 500:
        return code, Symptom.UPSTREAM_STATUS
    return code, next((found for phrase, found in _INFOS.items() if phrase in info), None)
