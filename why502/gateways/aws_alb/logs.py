"""The access logs of AWS load balancers: Application Load Balancer, and the classic one. Times are UTC.

Source: the user guides, "Access logs for your Application Load Balancer". New fields are appended to a line, so its end is
ignored.
"""

from __future__ import annotations

import re

from why502.gateways.aws_alb.codes import PRODUCT
from why502.gateways.codes import Code, code
from why502.logs.coded import LIMIT, coded_record, iso, number, path_of, seconds, target
from why502.logs.native.described import Text, address_of
from why502.logs.phrases import share
from why502.model.logs import Attempt, LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "aws_alb"
LAYOUTS = tuple(
    Text(
        template='{key} {time} {_} {client} {address} {key2} {response} {wait} {status} {answer} {#} {#} "{request}" "{_}" {_} {_} {group} "{_}" "{server}" "{_}" '
        '{_} {other} "{key3}" "{_}" "{key4}"' + rest,
        clock="iso", flags=("grouped", "port", "url", "escaped"), after={"group": ":"}, same={"header": "response"}, where=address_of,
        checks=("duration key2", "duration response", "duration wait"),
        # The values that `_row` uses
        asks=("text key", "sign key2", "sign response", "bands took 9500000 11500001", "text key3", "text key4"),
    )
    for rest in ("{_}", ' "{_}"')  # fields appended over the years
)  # fmt: skip
MARKS = (b"app/", b" 502 ", b" 503 ", b" 504 ", b" 460 ", b" 463 ", b" 464 ", b" 561 ", b"-1 -1 -1", b"Target.", b"Elb.")
HAS_SURE_FAILURES = True  # no other format writes a line with a time that means a failure to `parse`
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z"
_TIME = r"-?\d{1,6}(?:\.\d{1,6})?"
_HEAD = lazy(
    rf"(?:(?P<type>https?|h2|grpcs?|wss?) )?(?P<at>{_ISO}) (?P<elb>[^\s\"]{{1,255}}) (?P<client>[^\s\"]{{1,100}}?)(?::\d{{1,5}})? "
    rf"(?P<target>-|[^\s\"]{{1,255}}) (?P<t1>{_TIME}) (?P<t2>{_TIME}) (?P<t3>{_TIME}) (?P<elb_status>\d{{3}}|-) (?P<target_status>\d{{3}}|-) "
    r"(?P<rx>-?\d{1,18}) (?P<tx>-?\d{1,18}) \"(?P<request>(?:[^\"\\]|\\.)*+)\"(?P<more>.*)",
    re.DOTALL,
)
_WORD = lazy(r" (?:\"((?:[^\"\\]|\\.)*+)\"|([^\s\"]+))")
_CONNECT_S = (9.5, 11.5)  # the balancer gives up connecting after 10 s
_HEALTH = lazy(r"\b((?:Target|Elb)\.[A-Z][A-Za-z]{3,40})\b")


def fits(sample: list[str]) -> float:
    """Return the share of lines of such a log."""
    return share(sample, parse)


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if no AWS load balancer wrote it."""
    line = line[:LIMIT].rstrip("\r\n")
    match = _HEAD.search(line)
    if match is None:
        known = _HEALTH.search(line)
        row = PRODUCT.codes.get(known[1]) if known else None
        return coded_record(row, format=NAME, proxy="aws-alb", message=line) if row else None
    words = [quoted or bare for quoted, bare in _WORD.findall(match["more"])]  # starting with the user agent
    is_classic = match["type"] is None
    created = iso(words[8]) if len(words) > 8 else None
    actions = words[9] if len(words) > 9 else ""
    reason = words[11] if len(words) > 11 else ""
    at = iso(match["at"])
    took_s = (at - created).total_seconds() if at and created and created.tzinfo else None
    status, own = number(match["elb_status"]), number(match["target_status"])
    row = _row(status, own, match, took_s, actions, reason, is_classic)
    times = [seconds(match[name]) for name in ("t1", "t2", "t3")]
    method, url, version = (*match["request"].split(" ", 2), "", "")[:3]
    to = target(match["target"])
    waited_s = times[1] if match["target"] != "-" and not match["t2"].startswith("-") else None
    return coded_record(
        row,
        format=NAME,
        proxy="aws-alb",
        program="elb",
        is_final=True,
        at=at,
        target=to,
        attempts=(Attempt(target=to, status=own, header_s=waited_s, response_s=waited_s),) if to else (),
        client=match["client"],
        server=words[5] if len(words) > 5 and words[5] != "-" else "",
        group=words[3].rpartition(":")[2] if len(words) > 3 and words[3].startswith("arn:") else "",
        request=" ".join(word for word in (method, path_of(url)[1], version) if word),
        status=status,
        upstream_status=own,
        duration_s=took_s if took_s is not None and took_s >= 0 else sum(x for x in times if x is not None),
        header_s=waited_s,
        response_s=waited_s,  # until the response started; the time for its body is not logged
        bytes_sent=number(match["tx"]),
        detail=reason if reason != "-" else "",
    )


def _row(
    status: int | None, own: int | None, match: re.Match[str], took_s: float | None, actions: str, reason: str, is_classic: bool
) -> Code | None:
    """Return the meaning of a line. The conditions are checked in order of precedence."""
    if reason in PRODUCT.codes:
        return PRODUCT.codes[reason]
    if status is None or status < 400:
        return None
    if status >= 500 and status == own:
        return code(str(status), "", Symptom.UPSTREAM_STATUS, "upstream-error-status")
    if str(status) in PRODUCT.codes:
        return PRODUCT.codes[str(status)]
    if "fixed-response" in actions and status >= 500:
        return code("fixed-response", "", Symptom.OWN_STATUS, "maintenance-response")
    if "waf" in actions.split(",")[-1:]:
        return code("waf", "", Symptom.DENIED_BY_RULE, "denied-by-rule", failure=False)
    has_target, never = match["target"] != "-", match["t2"].startswith("-")
    match status:
        case 502 if own is not None:
            return code("502", "", Symptom.HEADER_INVALID, "invalid-response response-header-too-big")
        case 502 if has_target and match["t1"].startswith("-") and took_s is not None and took_s >= _CONNECT_S[0]:
            return code("502", "", Symptom.TLS_TIMED_OUT, "tls-handshake-failed wrong-protocol connect-timeout")
        case 502 if has_target and never and not match["t1"].startswith("-"):
            return code(
                "502", "", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race connection-reset backend-crashed deploy-termination-race"
            )  # fmt: skip
        case 502:
            return code(
                "502",
                "",
                Symptom.CONNECT_REFUSED,
                "backend-not-running connect-rejected tls-handshake-failed host-unreachable wrong-port",
            )
        case 503 if is_classic:
            return code("503", "", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members workers-exhausted")
        case 503:
            return code("503", "", Symptom.NO_MEMBERS, "no-upstream-members all-upstreams-down")
        case 504 if own is not None:
            return code("504", "", Symptom.CLOSED_IN_BODY, "truncated-response")
        case 504 if took_s is not None and _CONNECT_S[0] <= took_s <= _CONNECT_S[1] and never:
            return code("504", "", Symptom.CONNECT_TIMED_OUT, "connect-timeout host-unreachable listen-backlog-overflow")
        case 504 if is_classic and not has_target:
            return code("504", "", Symptom.CONNECT_TIMED_OUT, "connect-timeout backend-too-slow")
        case 504:
            return code("504", "", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung workers-exhausted keepalive-race")
        case 500:
            return code("500", "", Symptom.PROVIDER_FAULT, "gateway-provider-fault auth-service-failed denied-by-rule")
        case 400 | 405 | 408 | 413 | 414 | 501 | 505:
            return (
                code(str(status), "", Symptom.CLIENT_BAD_REQUEST, "client-bad-request request-too-large", failure=False)
                if own is None
                else None
            )
    return None
