"""Cloudflare's logs, error pages and tunnel agent.

That is Logpush http_requests (one JSON object per line), the text of the error pages, and the log of cloudflared. Source:
developers.cloudflare.com, log fields of http_requests; cloudflared writes Go's error texts.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from why502.gateways.cloudflare.codes import PRODUCT
from why502.gateways.codes import Code, code
from why502.logs import stamps
from why502.logs.coded import LIMIT, coded_record, epoch, iso, members, number, peer, seconds, target, text_of
from why502.logs.go_errors import understand
from why502.logs.native.described import Members
from why502.logs.phrases import share
from why502.model.logs import Attempt, LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "cloudflare"


def _origin(text: str, like: LogRecord) -> str:
    return str(peer(text, like.target.port)) if like.target else ""


LAYOUTS = tuple(
    Members(
        members={
            "EdgeStartTimestamp": "time", "EdgeEndTimestamp": "other", "EdgeResponseStatus": "status", "OriginResponseStatus": "answer",
            "OriginIP": "address", "OriginSSLProtocol": "key", "WorkerStatus": "key2", "OriginResponseDurationMs": "response",
            "ClientIP": "client", "ClientRequestHost": "server", "ClientRequestMethod": "method", "ClientRequestURI": "uri",
        },
        clock=clock, units={"response": 10**6}, flags=("fine",), asks=("text key", "text key2", "text answer"), where=_origin,
    )
    for clock in ("iso", "nanos")
)  # fmt: skip
MARKS = (
    b"EdgeResponseStatus",
    b"Unable to reach the origin service",
    b"originService",
    b"cloudflared",
    b"Error 5",
    b"Error 1",
    b"rror code",
    b"Serve tunnel error",
    b"error code",
    *(
        b"eb server is",
        b"SSL handshake failed",
        b"nvalid SSL cert",
        b"timeout occurred",
        b"rigin is unreachable",
        b"onnection timed out",
    ),
)
_PAGE = lazy(
    r"(?:Error|error code:?) (?P<code>5(?:2[0-7]|30)|10(?:0[0-2]|06|14|15|16|18|19|20|33)|110[12])\b"
    r"|\b(?P<titled>52[0-6])[:,|]? {1,3}[-–|]? ?(?i:web server is (?:down|returning)|connection timed out|origin is unreachable|a timeout occurred|ssl handshake failed|invalid ssl cert)"
)
_AGENT = lazy(r"Unable to reach the origin service\.[^:]{0,200}: (?P<why>.*)|\boriginService=(?P<to>\S+)", re.DOTALL)
_TUNNEL = lazy(
    r"Serve tunnel error|Unregistered tunnel connection|Failed to dial (?:to )?edge|no more connections active", re.IGNORECASE
)
_ORIGIN = lazy(r"originService\"?[=:] ?\"?(?P<url>[^\s\",]{1,500})")


def fits(sample: list[str]) -> float:
    """Return the share of lines that Cloudflare or its tunnel agent wrote."""
    return share(sample, lambda line: parse(line) is not None)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if Cloudflare did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    if "EdgeResponseStatus" in line and (entry := members(line)) and "EdgeResponseStatus" in entry:
        return _logpush(entry)
    common: dict[str, Any] = {"format": NAME, "proxy": "cloudflare", "at": stamps.find(line), "message": line}
    if match := _AGENT.search(line):
        origin = _ORIGIN.search(line)
        found = understand((match["why"] or line).replace('\\"', '"'))
        goal = target(origin["url"].rstrip("/")) if origin else None
        if found is None:
            return coded_record(None, Symptom.CONNECT_FAILED if match["why"] else None, program="cloudflared", **common)
        return coded_record(
            None, found.symptom, program="cloudflared", target=found.target or goal, detail=found.detail, **common
        )
    if _TUNNEL.search(line):
        return coded_record(None, Symptom.TUNNEL_DOWN, program="cloudflared", **common)
    if match := _PAGE.search(line):
        found_code = match["code"] or match["titled"]
        return coded_record(PRODUCT.codes[found_code], status=_shown(found_code), **common)
    return None


def _shown(code: str) -> int:
    return int(code) if len(code) == 3 else 530


def _logpush(entry: dict[str, Any]) -> LogRecord:
    status, own = number(entry.get("EdgeResponseStatus")), number(entry.get("OriginResponseStatus"))
    row: Code | None = None
    if status is not None and status >= 500 and own == status:
        row = code(str(status), "", Symptom.UPSTREAM_STATUS, "upstream-error-status")
    elif str(status) in PRODUCT.codes:
        row = PRODUCT.codes[str(status)]
    elif status == 499:
        row = code("499", "", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow connect-timeout")
    elif status is not None and status >= 500 and text_of(entry, "WorkerStatus") not in ("", "unknown", "ok"):
        row = code(str(status), "", Symptom.FUNCTION_FAILED, "function-target-error")
    elif status is not None and status >= 500:
        row = code(str(status), "", Symptom.GATEWAY_STATUS, "gateway-provider-fault invalid-response upstream-error-status")
    began, ended = (iso(entry.get(name)) or epoch(entry.get(name)) for name in ("EdgeStartTimestamp", "EdgeEndTimestamp"))
    duration = seconds(entry.get("OriginResponseDurationMs"))
    origin = peer(text_of(entry, "OriginIP"), 443 if text_of(entry, "OriginSSLProtocol").startswith("TLS") else 80)
    return coded_record(
        row,
        format=NAME,
        proxy="cloudflare",
        is_final=True,
        at=began,
        target=origin,
        client=text_of(entry, "ClientIP"),
        server=text_of(entry, "ClientRequestHost"),
        request=" ".join(text for name in ("ClientRequestMethod", "ClientRequestURI") if (text := text_of(entry, name))),
        status=status,
        upstream_status=own or None,
        attempts=(Attempt(target=origin, status=own or None, response_s=None if duration is None else duration / 1000),)
        if origin
        else (),
        duration_s=_took(began, ended, duration),
        request_id=text_of(entry, "RayID"),
    )


def _took(began: datetime | None, ended: datetime | None, origin_ms: float | None) -> float | None:
    """Return the duration of a request in seconds.

    It comes from the request's times if they have fractions of a second, otherwise it is the origin's time.
    """
    if began and ended and (began.microsecond or ended.microsecond) and ended >= began:
        return (ended - began).total_seconds()
    return None if origin_ms is None else origin_ms / 1000
