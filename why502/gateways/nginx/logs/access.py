"""nginx's access log, read with or without its `log_format`: combined, common, both with the usual additions; JSON.

Meaning of the variables: src/http/ngx_http_upstream.c ngx_http_upstream_*_variable, src/http/modules/ngx_http_log_module.c.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from functools import lru_cache

from why502.gateways.nginx.logs.log_format import COMBINED, MAIN, LineFormat
from why502.logs.coded import local, msec
from why502.model import foreign_json
from why502.model.logs import Attempt, LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import of_iso, whole_number

NAME = "nginx_access"
MARKS: tuple[bytes, ...] = (b"499", b"500", b"502", b"503", b"504", b"009", b"000", b"upstream", b"HTTP/")
LIMIT = 65536  # only this many characters of a line are read
_TEXT = 2048  # only this many characters of a value are kept

BAD_REQUEST = 400
PROXY_LINES = (
    "PROXY TCP4 ",
    "PROXY TCP6 ",
    "PROXY UNKNOWN",
)  # a PROXY header of version 1 [proxy-protocol.txt, 2.1], mistaken for a request
_ONLY_NGINX = frozenset({9, 0, 444, 494, 495, 496, 497, 499})
_OWN_LIMITS = {
    408: Symptom.CLIENT_TIMED_OUT,
    413: Symptom.REQUEST_TOO_LARGE,
    414: Symptom.REQUEST_TOO_LARGE,
    431: Symptom.REQUEST_TOO_LARGE,
    494: Symptom.REQUEST_TOO_LARGE,
    495: Symptom.CLIENT_BAD_REQUEST,
    496: Symptom.CLIENT_BAD_REQUEST,
    497: Symptom.CLIENT_PROTOCOL,
}
_COMBINED = lazy(
    r"(?:(?P<host>[\w.*:\[\]-]+) )?(?P<remote_addr>[^\s\"\[>|•*{][^\s\"\[|]*) (?P<ident>\S+) (?P<remote_user>[^\[\"]{0,255}) "
    r"\[(?P<time_local>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] \"(?P<request>(?:[^\"\\]|\\.)*+)\" (?P<status>\d{3}|-) "
    r"(?P<body_bytes_sent>\d+|-)(?: \"(?P<http_referer>(?:[^\"\\]|\\.)*+)\"(?: \"(?P<http_user_agent>(?:[^\"\\]|\\.)*+)\")?)?(?P<more>.*)",
    re.DOTALL,
)
_REQUEST = lazy(r'"(?P<request>[A-Z]{3,10} [^"]{1,8000}? HTTP/\d(?:\.\d)?)"[^\w"]{1,8}(?P<status>\d{3})\b(?P<more>.*)', re.DOTALL)
_PAIR = lazy(r'\b([A-Za-z][\w.-]{1,40})[=:] ?("[^"]*"|[^\s",\[\]]+(?:(?:, | : )[^\s",=\[\]]+)*)')
_ADDRESS = r"(?:\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-fA-F:]+\]:\d+|unix:/[^\s,:\"]+:?)"
_ADDRESSES = lazy(rf"(?<![\w.:/]){_ADDRESS}(?:(?:, | : ){_ADDRESS})*")
_STATUSES = lazy(r"(?<![\w.:-])[1-5]\d\d(?:(?:, | : )[1-5]\d\d)*(?![\w.:-])")
_BARE = lazy(r":\s*(0\d\d|-|)(?=[,}])")  # what a format without quotes writes for 009 and for a missing value
_SPLIT = lazy(r", | : ")
_NAMES = {  # by the names common in custom formats
    "request_time": "rt request_time reqtime req_time requesttime rtime duration",
    "request_time_ms": "request_time_ms duration_ms latency_ms response_time_ms elapsed_ms took_ms",
    "request_time_us": "request_time_us duration_us latency_us response_time_us elapsed_us took_us",
    "upstream_addr": "uaddr upstream upstream_addr upstreamaddr upstream_address upstreamhost upstream_host",
    "upstream_status": "us ustatus upstream_status upstreamstatus ust",
    "upstream_connect_time": "uct upstream_connect upstream_connect_time upstreamconnecttime",
    "upstream_header_time": "uht upstream_header upstream_header_time upstreamheadertime",
    "upstream_response_time": "urt upstream_response_time upstreamtime upstream_time upstreamresponsetime ups_resp_time",
    "upstream_response_length": "uln upstream_response_length",
    "status": "status code status_code response_code http_status statuscode response_status http_code",
    "remote_addr": "remote_addr remote_ip client client_ip clientip remoteaddr ip http_x_forwarded_for",
    "time_local": "time_local",
    "time_iso8601": "time_iso8601 @timestamp timestamp time ts date datetime",
    "msec": "msec time_msec epoch",
    "request": "request request_line req http_request",
    "request_method": "request_method method verb http_method",
    "request_uri": "request_uri uri path url",
    "body_bytes_sent": "body_bytes_sent bytes bytes_sent size body_bytes",
    "host": "host http_host vhost domain h",
    "server_name": "server_name sn server",
    "request_id": "request_id req_id rid requestid",
    "connection": "connection",
}
VARIABLE = {name: variable for variable, names in _NAMES.items() for name in names.split()}
_NGINX_NAMES = frozenset(
    "time_local time_iso8601 msec body_bytes_sent request_time http_user_agent http_referer remote_user request_uri http_x_forwarded_for "
    "upstream_addr upstream_status upstream_response_time upstream_connect_time upstream_header_time server_protocol".split()
)


class Reader:
    """Reads the lines of one access log."""

    def __init__(self, form: LineFormat) -> None:
        self._form = form
        self.plain = form.plain
        self.has_upstream = any(name.startswith("upstream_") for name in form.names)

    def parse(self, line: str) -> LogRecord | None:
        """Return the record of one line; None if it is not in this format. `at` is UTC."""
        values = self._form.values(line[:LIMIT].rstrip("\r\n"))
        return _record(values, is_nginx=True, knows_upstream=self.has_upstream) if values else None


@lru_cache(256)
def compile(format: str, escape: str = "default") -> Reader:
    """Return a reader for the lines of a `log_format` (its strings joined) with this `escape=`."""
    return Reader(LineFormat(format, escape))


_KNOWN = tuple(map(compile, (COMBINED, MAIN)))


def fits(sample: list[str]) -> float:
    """Return the share of lines that are access lines; a format that other servers write too has slightly less weight."""
    counted = [line for line in sample if line.strip()]
    return sum(map(_sureness, counted)) / len(counted) if counted else 0.0


def _sureness(line: str) -> float:
    line = line[:LIMIT].rstrip("\r\n")
    if line.startswith("{"):
        return 0.95 if len(_NGINX_NAMES & _object(line).keys()) > 1 and parse(line) else 0.4 if parse(line) else 0.0
    if match := _COMBINED.match(line):
        return 0.95 if int(match["status"].replace("-", "200")) in _ONLY_NGINX or "upstream_addr" in _more(match["more"]) else 0.8
    return 0.5 if _REQUEST.search(line) else 0.0


def parse(line: str) -> LogRecord | None:
    """Return the record of one line with an unknown `log_format`; None if it is not an access line. `at` is UTC."""
    line = line[:LIMIT].rstrip("\r\n")
    if line.startswith("{"):
        names = _object(line)
        values = {VARIABLE.get(name.lower(), name): text for name, text in names.items() if text not in ("", "-")}
        asked = {VARIABLE.get(name.lower(), name) for name in names} & {"request", "request_uri", "request_method"}
        if "status" not in values or not asked:
            return None
        is_nginx = len(_NGINX_NAMES & names.keys()) > 1
        return _record(values, is_nginx=is_nginx, knows_upstream=any(name.startswith("upstream_") for name in names))
    match = _COMBINED.match(line) or _REQUEST.search(line)
    if match is None:
        return None
    values = {name: text for name, text in match.groupdict("").items() if text and text != "-"}
    more = _more(values.pop("more", ""))
    values |= {name: text for name, text in more.items() if text != "-"}
    return _record(
        values, is_nginx="upstream_addr" in more, knows_upstream=bool(more.keys() & {"upstream_addr", "upstream_status"})
    )


def _object(line: str) -> dict[str, str]:
    """Return the members of a JSON object by name, those of a nested object as `outer_inner`; {} for anything else."""
    for text in (line, _BARE.sub(r': "\1"', line)):
        try:
            entry = foreign_json.decode(text)
        except ValueError:
            continue
        found: dict[str, str] = {}
        for name, value in entry.items() if isinstance(entry, dict) else ():
            inner = value.items() if isinstance(value, dict) else ()
            members = ((name, value), *((f"{name}_{part}", text) for part, text in inner))
            found |= {str(key): str(text) for key, text in members if isinstance(text, str | int | float)}
        return found
    return {}


def _more(text: str) -> dict[str, str]:
    """Return the values in the text after a common format: `rt=0.001 urt="0.001"`, or bare addresses and statuses."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        if (name := VARIABLE.get(match[1].lower())) and name not in ("status", "request", "time_iso8601", "remote_addr"):
            found.setdefault(name, match[2].strip('"'))
    if "upstream_addr" not in found and (addresses := _ADDRESSES.search(text)):
        found["upstream_addr"] = addresses[0]
        for statuses in _STATUSES.finditer(text, addresses.end()):
            if len(_SPLIT.findall(statuses[0])) == len(_SPLIT.findall(addresses[0])):
                found.setdefault("upstream_status", statuses[0])
    return found


def _record(values: dict[str, str], *, is_nginx: bool, knows_upstream: bool) -> LogRecord | None:
    status = whole_number(values.get("status"))
    if status is None and "request" not in values and "request_uri" not in values:
        return None
    attempts = _attempts(values)
    last = attempts[-1] if attempts else None
    values.setdefault("request_uri", values.get("uri", ""))
    request = values.get("request") or " ".join(
        text for name in ("request_method", "request_uri", "server_protocol") if (text := values.get(name))
    )
    symptom, is_failure = _symptom(status, last, knows_upstream)
    is_header = status == BAD_REQUEST and request.startswith(PROXY_LINES) and _is_near(values.get("remote_addr", ""))
    if is_header:
        symptom, is_failure = Symptom.OTHER_PROTOCOL, True
    return LogRecord(
        format=NAME,
        proxy="nginx" if is_nginx or status in _ONLY_NGINX else None,
        is_gateway_failure=is_failure,
        at=_at(values),
        connection=whole_number(values.get("connection")),
        pid=whole_number(values.get("pid")),
        phase=Phase.CLIENT if symptom is Symptom.CLIENT_CLOSED else None,
        symptom=symptom,
        causes=("wrong-protocol",) if is_header else (),
        target=last.target if last else None,
        group=last.group if last else "",
        client=values.get("remote_addr", ""),
        server=values.get("server_name", ""),
        request=request[:_TEXT],
        host=(values.get("host") or values.get("http_host", ""))[:_TEXT],
        referrer=values.get("http_referer", "")[:_TEXT],
        upstream=values.get("upstream_addr", "")[:_TEXT],
        status=status,
        upstream_status=last.status if last else None,
        duration_s=_duration(values),
        bytes_sent=whole_number(values.get("body_bytes_sent") or values.get("bytes_sent")),
        attempts=attempts,
        request_id=values.get("request_id", ""),
    )


@lru_cache(1024)
def _is_near(client: str) -> bool:
    """Return whether a client is a gateway on this network or machine: clients from elsewhere may send anything."""
    if client.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(client).is_private
    except ValueError:
        return False


def _symptom(status: int | None, last: Attempt | None, knows_upstream: bool) -> tuple[Symptom | None, bool]:
    """Return the symptom of a status, and whether it is a failure of the gateway path. `last`: the last attempt."""
    if status is None:
        return None, False
    answered = last.status if last else None
    if status == 499:
        return Symptom.CLIENT_CLOSED, True
    if status in (9, 0):
        return Symptom.NO_STATUS_LINE if status else Symptom.GATEWAY_STATUS, True
    if status in (502, 503, 504):
        has_header = last is not None and last.header_s is not None
        if status == answered and (has_header or status == 503):  # without a limit or `return`, nginx never generates a 503
            return Symptom.UPSTREAM_STATUS, True
        if status == 503 and knows_upstream and last is None:
            return Symptom.OWN_STATUS, True
        return Symptom.GATEWAY_STATUS, True
    if status == 500:  # one generated by nginx has either no attempt, or one without address and status
        own = last is not None and answered in (None, 500) and not last.target and not last.group
        return (Symptom.GATEWAY_STATUS, True) if own else (Symptom.UPSTREAM_STATUS if answered == 500 else None, False)
    if answered in (502, 504) and last is not None and last.header_s is None and last.response_s is not None:
        return Symptom.GATEWAY_STATUS, True  # hidden by an error page
    if last is None and (knows_upstream or status > 493):
        return _OWN_LIMITS.get(status), False
    return None, False


def _attempts(values: dict[str, str]) -> tuple[Attempt, ...]:
    """Return the attempts of a request: `, ` separates those of one upstream pass, ` : ` the passes after a redirect."""
    lists = {
        name: _SPLIT.split(text)
        for name in ("addr", "status", "connect_time", "header_time", "response_time", "response_length")
        if (text := values.get(f"upstream_{name}"))
    }
    if not lists:
        return ()
    found = []
    for at in range(min(max(map(len, lists.values())), 64)):
        one = {name: texts[at] for name, texts in lists.items() if at < len(texts)}
        target, group = target_or_group(one.get("addr", ""))
        found.append(
            Attempt(
                target=target,
                group=group,
                status=whole_number(one.get("status")),
                connect_s=_seconds(one.get("connect_time")),
                header_s=_seconds(one.get("header_time")),
                response_s=_seconds(one.get("response_time")),
                length_bytes=whole_number(one.get("response_length")),
            )
        )
    return tuple(found)


@lru_cache(1024)
def target_or_group(text: str) -> tuple[Target | None, str]:
    """Return the address and group of one entry in $upstream_addr, which has the group's name if no server was available."""
    target = Target.parse(text) if text and text != "-" else None
    if target is None or target.is_address:
        return target, ""
    return None, text


def _seconds(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text, re.ASCII) else None


def _duration(values: dict[str, str]) -> float | None:
    for name, unit_s in (("request_time_us", 1e-6), ("request_time_ms", 1e-3), ("request_time", 1.0)):  # the most precise
        if (found := _seconds(values.get(name))) is not None:
            return found * unit_s
    return None


def _at(values: dict[str, str]) -> datetime | None:
    text = values.get("time_local")
    if text:
        return _local(text)
    if text := values.get("msec"):
        return msec(text)
    return of_iso(values.get("time_iso8601"))


_local = lru_cache(256)(local)
