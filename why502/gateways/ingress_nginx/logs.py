"""ingress-nginx: its access format `upstreaminfo`, and the controller's own lines (klog). The rest of its log is nginx's.

Source: internal/ingress/controller/config/config.go (log-format-upstream), internal/ingress/controller/*.go,
rootfs/etc/nginx/lua/balancer.lua
"""

from __future__ import annotations

import re

from why502.gateways.codes import Code, code
from why502.gateways.nginx.logs.log_format import LineFormat
from why502.logs.coded import LIMIT, clf, coded_record, number, seconds, target
from why502.logs.native.described import Text, address_of
from why502.logs.phrases import share
from why502.model.logs import Attempt, LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "ingress_nginx"
LAYOUTS = (
    Text(
        template='{client} - {_} [{time}] "{request}" {status} {#} "{_}" "{_}" {#} {total} [{group}] [{_}] {address} {length} {response} {answer} {key}',
        clock="common", flags=("grouped", "hex"), where=address_of,
        checks=("list length", "short key"),
        # See `_row`
        asks_of_failures=("oneof group |-|upstream-default-backend", "bands response 4900000 5600001", "bands length 1000000"),
    ),
)  # fmt: skip
HAS_ALL_REQUESTS = True  # only lines of its access log tell how a request ended
MARKS = (b"] [] ", b"] [", b'Service "', b"Endpoint", b"balancer.lua", b"controller.go", b"no peer was returned", b"[upstream-")
_ACCESS = lazy(
    r"(?P<client>\S{1,100}) - (?:\[[^\]]{0,500}\] - )?(?P<user>\S{1,255}) \[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] \"(?P<request>[^\"]*)\" (?P<status>\d{3}) "
    r"(?P<bytes>\d{1,18}) \"[^\"]*\" \"[^\"]*\" \d{1,12} (?P<time>[\d.]{1,12}) \[(?P<group>[^\]]{0,300})\](?: \[[^\]]{0,300}\])? "
    r"(?P<addr>-|[^\s,]{1,100}(?:(?:, | : )[^\s,]{1,100})*+) (?P<length>-|[\d-]{1,18}(?:(?:, | : )[\d-]{1,18})*+) (?P<took>-|[\d.-]{1,12}(?:(?:, | : )[\d.-]{1,12})*+) "
    r"(?P<own>-|\d{3}(?:(?:, | : )(?:\d{3}|-))*+)(?: (?P<id>\S{1,64}))?\s*$"
)
_KLOG = lazy(
    r"(?P<level>[IWEF])(?P<month>\d\d)(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d\.\d{1,6})\s+\d{1,10} (?P<file>[\w.-]{1,60}\.go):\d{1,6}\] (?P<msg>.*)"
)
_PHRASES = tuple(
    (lazy(pattern), row)
    for pattern, row in (
        (r"Service \"(?P<detail>[^\"]{1,255})\" does not have any active Endpoint", code("", "", Symptom.NO_MEMBERS, "no-upstream-members all-upstreams-down")),
        (r"(?:Error obtaining Endpoints for Service|Error getting Service) \"(?P<detail>[^\"]{1,255})\"", code("", "", Symptom.NO_MEMBERS, "no-upstream-members route-target-missing")),
        (r"balance\(\): no peer was returned|no endpoints available", code("", "", Symptom.NO_MEMBERS, "no-upstream-members all-upstreams-down")),
        (r"attempted to proxy to self", code("", "", Symptom.OTHER_PROTOCOL, "proxy-loop")),
        (r"Error reloading NGINX|[Uu]nexpected failure reloading the backend|nginx: \[emerg\]", code("", "", Symptom.CONFIG_INVALID, "proxy-config-invalid")),
        (r"SSL certificate .{0,200} does not (?:exist|contain)|Error getting SSL certificate", code("", "", None, "", failure=False)),
    )
)  # fmt: skip
_PLAIN = LineFormat("$request")  # whose escaping it uses
_LEVELS = {"I": "info", "W": "warn", "E": "error", "F": "crit"}
_SPLIT = lazy(r", | : ")
_CONNECT_S = (4.9, 5.6)  # proxy-connect-timeout is 5 s by default


def fits(sample: list[str]) -> float:
    """Return the share of lines that only ingress-nginx writes."""
    return share(sample, lambda line: _ACCESS.search(line) or _KLOG.search(line[:200]))


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if it is neither an access-log line nor the controller's."""
    line = line[:LIMIT].rstrip("\r\n")
    if match := _ACCESS.search(line):
        return _access(match)
    klog = _KLOG.search(line)
    text = klog["msg"] if klog else line
    level = _LEVELS[klog["level"]] if klog else ""
    for pattern, row in _PHRASES:
        if match := pattern.search(text):
            detail = match.groupdict().get("detail") or ""
            return coded_record(
                row, format=NAME, proxy="nginx", program="nginx-ingress-controller", level=level, message=text, detail=detail
            )
    return (
        coded_record(None, format=NAME, proxy="nginx", program="nginx-ingress-controller", level=level, message=text)
        if klog
        else None
    )


def _access(match: re.Match[str]) -> LogRecord:
    attempts = _attempts(match)
    status = int(match["status"])
    last = attempts[-1] if attempts else None
    row = _row(status, match["group"], last, bool(attempts))
    return coded_record(
        row,
        format=NAME,
        proxy="nginx",
        program="nginx",
        is_final=True,
        at=clf(match["at"]),
        client=match["client"],
        group=match["group"] if attempts or status >= 499 else "",  # nginx answered by itself
        request=_PLAIN.plain(match["request"]),
        target=last.target if last else None,
        status=status,
        upstream_status=last.status if last else None,
        duration_s=seconds(match["time"]),
        bytes_sent=number(match["bytes"]),
        attempts=attempts,
        request_id=(match["id"] or "").strip("-"),
    )


def _attempts(match: re.Match[str]) -> tuple[Attempt, ...]:
    lists = [_SPLIT.split(match[name]) for name in ("addr", "own", "took", "length")]
    if lists[0] == ["-"]:
        return ()
    found = []
    for at, address in enumerate(lists[0][:64]):
        own, took, length = (texts[at] if at < len(texts) else "-" for texts in lists[1:])
        found.append(Attempt(target=target(address), status=number(own), response_s=seconds(took), length_bytes=number(length)))
    return tuple(found)


def _row(status: int, group: str, last: Attempt | None, has_attempts: bool) -> Code | None:
    """Return the row for the status and the attempts; the reason of a 502 is in the error log."""
    name = str(status)
    if status == 499:
        return code(name, "", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow")
    if status < 500:
        return None
    if status == 503 and not has_attempts:
        if group in ("", "-", "upstream-default-backend"):
            return code(name, "", Symptom.OWN_STATUS, "route-not-found maintenance-response")
        return code(name, "", Symptom.NO_MEMBERS, "no-upstream-members all-upstreams-down wrong-port")
    took = last.response_s if last else None
    if status == 504 and took is not None:
        if _CONNECT_S[0] <= took <= _CONNECT_S[1]:
            return code(name, "", Symptom.CONNECT_TIMED_OUT, "connect-timeout stale-endpoint deploy-termination-race")
        return code(name, "", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short backend-hung")
    if last and last.status == status and (last.length_bytes or 0) > 0:
        return code(name, "", Symptom.UPSTREAM_STATUS, "upstream-error-status")
    if status == 500 and not has_attempts:
        return code(name, "", Symptom.AUTH_FAILED, "auth-service-failed")
    return code(
        name, "", Symptom.GATEWAY_STATUS, "backend-not-running premature-close wrong-port wrong-protocol response-header-too-big"
    )
