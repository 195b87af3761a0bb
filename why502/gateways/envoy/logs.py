"""Envoy's access log (its own default, Istio's text formats of all years, JSON) and the other lines of the same stream.

Source: docs/root/configuration/observability/access_log/usage.rst; istio pilot/pkg/model, EnvoyTextLogFormat. Times are UTC.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from why502.gateways.codes import Code, phase_of
from why502.gateways.envoy.codes import DETAILS, PRODUCT
from why502.logs.coded import LIMIT, coded_record, epoch, iso, members, number, target, text_of
from why502.logs.native.described import Members, Text, address_of
from why502.logs.phrases import share
from why502.model.logs import LogRecord, Symptom
from why502.model.patterns import lazy

NAME = "envoy"
_FLAGS = ("grouped", "numeric", "short")
_ASKS = ("text key", "text key2", "text key3", "has key4", "bands total 3000000")  # the values that `_meaning` and `_record` use
_STYLE: dict[str, Any] = {"clock": "iso", "units": {"total": 10**6}, "asks": _ASKS, "where": address_of}
LAYOUTS = (
    Text(
        template='[{time}] "{request}" {status} {key} {#} {#} {total} {key4} "{client}" "{*}" "{_}" "{server}" "{address}"',
        checks=("integer total",), flags=_FLAGS, **_STYLE,
    ),
    Text(
        template='[{time}] "{request}" {status} {key} {key2} {_} "{key3}" {#} {#} {total} {key4} "{_}" "{*}" "{_}" "{server}" "{address}" {group} {_} {_} {client} {_} {_}',
        checks=("integer total", 'without key2 "'), flags=(*_FLAGS, "port", "brackets"), **_STYLE,
    ),
    Members(
        members={
            "start_time": "time", "method": "method", "path": "uri", "response_code": "status", "response_flags": "key",
            "response_code_details": "key2", "upstream_transport_failure_reason": "key3", "upstream_service_time": "key4",
            "duration": "total", "upstream_host": "address", "upstream_cluster": "group", "downstream_remote_address": "client",
            "authority": "server",
        },
        foreign=("x_envoy_upstream_service_time",), flags=(*_FLAGS, "port", "brackets", "protocol"), **_STYLE,
    ),
)  # fmt: skip
MARKS = (
    *(b"503 U", b"504 U", b"502 U", b"503 N", b"404 N", b"503 L", b"0 UF,"),
    *(b"HTTP/1", b"HTTP/2", b'"- - -"', b"response_flags", b"response_code", b"upstream connect error", b"TLS_error", b"TLS error"),
    *(b"response_flag", b"responseFlags", b"responseCodeDetails", b"response-code", b"resp_flag", b"no healthy upstream", b" envoy ", b"][http", b"][connection", b"reset reason", b"upstream_reset_before", b"gRPC config"),
)  # fmt: skip
HAS_ALL_REQUESTS = True  # its lines are those of an access log
HAS_SURE_FAILURES = True  # no other format writes a line with a time that means a failure to `parse`
_FLAG = r"(?:-|[A-Z]{2,6}(?:,[A-Z]{2,6})*)"
_TEXT = lazy(
    r"\[(?P<at>\d{4}-\d\d-\d\dT[\d:.]{8,20}Z?)\] \"(?P<request>[^\"]{0,8000})\" (?P<code>\d{1,3}) "
    rf"(?P<flags>{_FLAG}) (?P<rest>.*)",
    re.DOTALL,
)
_LOOSE = lazy(  # a custom format, or a default one without its time: only a flag identifies it as Envoy's
    r"(?:\[?(?P<at>\d{4}-\d\d-\d\dT[\d:.]{8,20}Z?)\]?\s+)?(?:\"(?P<quoted>[^\"]{0,8000})\"|(?<!\S)(?P<bare>[A-Z]{3,10} \S{1,8000} HTTP/\d(?:\.\d)?))\s+(?P<code>\d{1,3})\s+"
    r"(?P<flags>[A-Z]{2,6}(?:,[A-Z]{2,6})*)\s+(?P<rest>.*)",
    re.DOTALL,
)
_TYPED = str.maketrans("“”„", '"""')  # typographic quotation marks
_ISTIO = lazy(r"(?P<details>\S+) (?P<ended>\S+) \"(?P<transport>[^\"]*)\" (?P<more>\d+ \d+ .*)", re.DOTALL)
_MIXER = lazy(r"\"[^\"]*\" \"(?P<transport>[^\"]*)\" (?P<more>\d+ \d+ .*)", re.DOTALL)
_SIZES = r"(?P<rx>\d{1,18}) (?P<tx>\d{1,18}) (?P<ms>\d{1,12}|-) (?P<service>\S+)"
_PEERS = r"(?: (?P<cluster>\S+) (?P<ulocal>\S+) (?P<dlocal>\S+) (?P<dremote>\S+))?"
_NUMBERS = lazy(  # the user agent is not escaped
    _SIZES + r" \"(?P<xff>[^\"]*)\" \"(?:.*?)\" \"(?P<id>[^\"\s]*)\" \"(?P<authority>[^\"\s]*)\" \"(?P<host>[^\"\s]*)\"" + _PEERS,
    re.DOTALL,
)
_FEWER = lazy(  # an older format, or a truncated line
    _SIZES + r"(?: \"(?P<xff>[^\"]*)\")?(?: \"[^\"]*\")?(?: \"(?P<id>[^\"]*)\")?"
    r"(?: \"(?P<authority>[^\"]*)\")?(?: \"(?P<host>[^\"]*)\")?" + _PEERS
)
_REASONS = (  # transport failure reasons: with spaces or underscores, in three spellings of OpenSSL's text
    (lazy(r"WRONG_VERSION_NUMBER|wrong version number|HTTP_REQUEST|http request", re.IGNORECASE), Symptom.TLS_NOT_TLS),
    (lazy(r"CERTIFICATE_VERIFY_FAILED|CERTIFICATE_EXPIRED|verify cert failed|UNKNOWN_CA|verify SAN", re.IGNORECASE), Symptom.TLS_UNVERIFIED),
    (lazy(r"CERTIFICATE_REQUIRED|BAD_CERTIFICATE", re.IGNORECASE), Symptom.TLS_CLIENT_CERTIFICATE),
    (lazy(r"TLS.error|SSLV3_ALERT|OPENSSL_internal|not supplied by SDS", re.IGNORECASE), Symptom.TLS_FAILED),
    (lazy(r"connect(?:ion)?.error: ?_?(?:111|.{0,20}refused)|connection.refused", re.IGNORECASE), Symptom.CONNECT_REFUSED),
    (lazy(r"connect(?:ion)?.error: ?_?(?:113|101)\b|No.route.to.host|Network.is.unreachable", re.IGNORECASE), Symptom.HOST_UNREACHABLE),
    (lazy(r"connect(?:ion)?.error: ?_?(?:104\b|Connection.reset)", re.IGNORECASE), Symptom.CONNECT_RESET),
    (lazy(r"connect(?:ion)?.error: ?_?(?:99\b|Cannot.assign)", re.IGNORECASE), Symptom.NO_LOCAL_PORT),
    (lazy(r"connect(?:ion)?.error: ?_?(?:2\b|No.such.file)", re.IGNORECASE), Symptom.SOCKET_PATH_MISSING),
    (lazy(r"connect(?:ion)?.error: ?_?(?:13\b|1\b|Permission.denied|Operation.not.permitted)", re.IGNORECASE), Symptom.CONNECT_DENIED),
    (lazy(r"connect(?:ion)?.error: ?_?(?:110\b|Connection.timed.out)", re.IGNORECASE), Symptom.CONNECT_TIMED_OUT),
    (lazy(r"connect(?:ion)?.error: ?_?(?:11\b|Resource.temporarily)", re.IGNORECASE), Symptom.QUEUE_FULL),
)  # fmt: skip
_OWN = lazy(
    r"(?:^|\s)(?:trace|debug|info|warning|warn|error|critical)\s+envoy [\w.-]+|\[\d{4}-\d\d-\d\d [\d:.]+\]\[\d+\]\[(?:trace|debug|info|warning|error|critical)\]"
)
_RESET = lazy(
    r"upstream connect error or disconnect/reset before headers(?:\. (?:retried and the latest )?reset reason: (?P<reason>[a-zA-Z ]+))?"
)
_BODY = {  # the response body that clients see, and its reset reasons
    "connection failure": "UF",
    "remote connection failure": "UF",
    "local connection failure": "UF",
    "connection timeout": "UF",
    "connection termination": "UC",
    "overflow": "UO",
    "protocol error": "UPE",
    "remote reset": "UR",
    "local reset": "LR",
}
_TRACE = (  # details of a refused response that only the debug and trace levels log
    (lazy(r"completed header: key=(?:Transfer-Encoding|Content-Length)", re.IGNORECASE), None),
    (lazy(r"(?:unsupported|invalid) transfer.encoding|codec error|protocol error|dispatch error|http/1.1 protocol error", re.IGNORECASE), Symptom.HEADER_INVALID),
)  # fmt: skip
_IN_JSON = lazy(r'"response[_-]?(?:[fF]lags|[cC]ode[_-]?[dD]etails)"')
_CAMEL = lazy(r"(?<=[a-z])([A-Z])")
_KEYED = lazy(r"\b(?:response_?|resp_?)flags?\"?\s?[=:]\s?\"?(?P<flags>[A-Z]{2,6}(?:,[A-Z]{2,6})*)\b", re.IGNORECASE)
_PAIR = lazy(r"([\w-]{2,60})=(?:\"([^\"]{0,2000})\"|([^\s\",]{1,2000}))")
_PARTS = ("transport_failure", "service_time", "service-time", "duration", "total_time")
_WITH_SPACES = lazy(r"\{[a-z ]{3,60}")  # reasons contained spaces up to 1.18
_FLAGGED = lazy(rf"\s*(?P<code>[1-5]\d\d|0) (?P<flags>{_FLAG}) ?(?P<details>[a-z_]{{3,60}}(?:\{{[^}}\s]{{1,200}}\}}?)?)?\s*")
_CONNECTION = lazy(r"\[C(\d{1,18})\]")
_DETAIL = lazy("|".join(re.escape(row.code) for row in DETAILS))
_BY_DETAIL = {row.code: row for row in DETAILS}


def fits(sample: list[str]) -> float:
    """Return the share of lines written by Envoy."""
    return share(sample, lambda line: _TEXT.search(line) or _OWN.search(line[:200]) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return the record of one line; None if Envoy did not write it."""
    line = line[:LIMIT].rstrip("\r\n")
    if "“" in line or "”" in line:
        line = line.translate(_TYPED)
    if line.startswith("{") and (entry := _entry(line)):
        return _json(entry)
    if match := _TEXT.search(line):
        return _text(match, match["request"])
    if (match := _LOOSE.search(line)) and all(flag in PRODUCT.codes for flag in match["flags"].split(",")):
        return _text(match, match["quoted"] or match["bare"] or "")
    if _IN_JSON.search(line):
        return _json(entry) if (entry := _entry(line)) else None
    return None if line.lstrip().startswith("{") else _other(line)


def _entry(line: str) -> dict[str, Any]:
    """Return the members of a JSON access line under Envoy's own names; {} for another line."""
    if not _IN_JSON.search(line):
        return {}
    entry = {_name(name): value for name, value in members(line).items()}
    return entry if "response_flags" in entry or "response_code_details" in entry else {}


@lru_cache(1024)
def _name(written: str) -> str:
    return _CAMEL.sub(r"_\1", written).lower().replace("-", "_")


def _has_service_time(entry: dict[str, Any]) -> bool | None:
    names = ("upstream_service_time", "x_envoy_upstream_service_time")
    return bool(text_of(entry, *names)) if any(name in entry for name in names) else None


def _text(match: re.Match[str], request: str) -> LogRecord:
    rest, details, transport = match["rest"], "", ""
    if found := _ISTIO.match(rest):
        details, transport, rest = found["details"], found["transport"], found["more"]
    elif found := _MIXER.match(rest):
        transport, rest = found["transport"], found["more"]
    numbers = _NUMBERS.match(rest) or _FEWER.match(rest)
    fields = numbers.groupdict("") if numbers else {}
    client = (fields.get("dremote") or "").rpartition(":")[0] or fields.get("xff", "").partition(",")[0]
    return record_of(
        flags=match["flags"],
        details=details,
        transport=transport,
        status=int(match["code"]),
        has_service_time=fields["service"] != "-" if fields.get("service") else None,
        host=fields.get("host", ""),
        duration_ms=number(fields.get("ms")),
        at=iso(match["at"]),
        client=client.strip("-[]"),
        request=request,
        server=fields.get("authority", ""),
        group=(fields.get("cluster") or "").strip("-"),
        request_id=fields.get("id", "").strip("-"),
        bytes_sent=number(fields.get("tx")),
    )


def _json(entry: dict[str, Any]) -> LogRecord:
    request = " ".join(text for name in ("method", "path", "protocol") if (text := text_of(entry, name)))
    return record_of(
        flags=text_of(entry, "response_flags") or "-",
        details=text_of(entry, "response_code_details"),
        transport=text_of(entry, "upstream_transport_failure_reason"),
        status=number(entry.get("response_code")) or 0,
        has_service_time=_has_service_time(entry),
        host=text_of(entry, "upstream_host"),
        duration_ms=number(entry.get("duration")),
        at=iso(entry.get("start_time")) or epoch(entry.get("start_time")),
        client=text_of(entry, "downstream_remote_address").rpartition(":")[0].strip("[]"),
        request=request,
        server=text_of(entry, "authority"),
        group=text_of(entry, "upstream_cluster"),
        request_id=text_of(entry, "request_id"),
        bytes_sent=number(entry.get("bytes_sent")),
    )


def record_of(
    *,
    flags: str,
    details: str,
    transport: str,
    status: int,
    has_service_time: bool | None,
    host: str,
    duration_ms: int | None,
    **fields: Any,
) -> LogRecord:
    """Return the record of a request. `has_service_time`: whether the backend answered; None if the format does not tell."""
    host = host.strip("-")
    row, symptom = _meaning(flags, details, transport, status, bool(has_service_time or host))
    if row is _OWN_5XX and status == 504 and has_service_time is False and symptom is None:
        symptom = Symptom.READ_TIMED_OUT  # max_stream_duration ended it, which has no flag
    if row is not None and row.symptom is Symptom.CONNECT_FAILED and symptom is None and (duration_ms or 0) >= _LONG_MS:
        symptom = Symptom.CONNECT_TIMED_OUT  # a refused connection would have failed within milliseconds
    record = coded_record(
        row,
        symptom,
        format=NAME,
        proxy="envoy",
        program="envoy",
        is_final=True,
        code=flags if flags != "-" else details.strip("-"),
        detail=(transport.strip("-") or details.strip("-"))[:200],
        target=target(host),
        upstream=host,
        status=status,
        upstream_status=status if symptom is Symptom.UPSTREAM_STATUS else None,
        duration_s=duration_ms / 1000 if duration_ms is not None else None,
        **fields,
    )
    if record.target is not None and not record.target.is_address:
        record = replace(record, target=None)
    if record.target is None and not record.is_gateway_failure:  # Envoy answered by itself, without using a cluster
        record = replace(record, group="")
    if row is not None and row.code == "FLAGLESS" and symptom is None:
        return replace(record, symptom=None, is_gateway_failure=False)
    return record


_LONG_MS = 3000  # less than Envoy's connect_timeout (5 s) and Istio's (10 s)
_ONLY_ERRORS = frozenset({Symptom.UPSTREAM_STATUS, Symptom.OWN_STATUS})  # which any other status may have as well
_AFTER_STATUS = {  # a flag beside a good status: the header had been sent
    Symptom.CLOSED_BEFORE_HEADER: Symptom.CLOSED_IN_BODY,
    Symptom.HEADER_INVALID: Symptom.CLOSED_IN_BODY,
    Symptom.RESET_BEFORE_HEADER: Symptom.RESET_IN_BODY,
    Symptom.READ_TIMED_OUT: Symptom.BODY_TIMED_OUT,
}
_NOTHING = Code(code="FLAGLESS", message="", is_gateway_failure=False)
_OWN_5XX = Code(
    code="", message="the backend itself sent that status", symptom=Symptom.UPSTREAM_STATUS, causes=("upstream-error-status",)
)


def _meaning(flags: str, details: str, transport: str, status: int, is_answered: bool) -> tuple[Code, Symptom | None]:
    """Return the row that decides, and the symptom if another field is more specific than the row."""
    names = flags.split(",")
    rows = [PRODUCT.codes[name] for name in names if name in PRODUCT.codes]
    failed = transport.strip("-") or (details if details.startswith("upstream_reset_before") else "")
    reason = next((found for pattern, found in _REASONS if failed and pattern.search(failed)), None)
    if reason is not None and (not rows or any(name in ("UF", "URX", "UC") for name in names)):
        return rows[0] if rows else _OWN_5XX, reason
    detail = _DETAIL.match(_WITH_SPACES.sub(lambda match: match[0].replace(" ", "_"), details))
    known = _BY_DETAIL[detail[0]] if detail else None
    if known is not None and "DPE" in names and known.code.startswith(("http1.", "http2.")):  # of the request, not of the answer
        return PRODUCT.codes["DPE"], Symptom.REQUEST_TOO_LARGE if known.code == "http1.headers_too_large" else None
    if known is not None and known.symptom is not None and (known.symptom not in _ONLY_ERRORS or status >= 500):
        return known, None
    if rows:
        row = next((row for row in rows if row.code != "URX"), rows[0])
        return row, _AFTER_STATUS.get(row.symptom) if row.symptom and 100 < status < 400 else None
    if status >= 500:
        return (_OWN_5XX if is_answered else PRODUCT.codes["direct_response"]), None
    return _NOTHING, None


def _other(line: str) -> LogRecord | None:
    """Return the record of one of Envoy's own lines, or of the response body that a client saw."""
    at = iso(line[:32].split(" ")[0].split("\t")[0])
    common: dict[str, Any] = {"format": NAME, "proxy": "envoy", "program": "envoy", "at": at, "message": line}
    if match := _RESET.search(line):
        row = PRODUCT.codes.get(_BODY.get((match["reason"] or "").strip(), ""))
        symptom = next((found for pattern, found in _REASONS if pattern.search(line[match.start() :])), None)
        if symptom is None and (match["reason"] or "").strip() == "connection timeout":
            symptom = Symptom.CONNECT_TIMED_OUT
        if row is None:
            row = Code(code="", message="", symptom=Symptom.CONNECT_FAILED, causes=("backend-not-running", "premature-close"))
        return coded_record(row, symptom, **common)
    if re.search(r"TLS[ _]error|OPENSSL_internal|delayed.connect.error", line):
        symptom = next((found for pattern, found in _REASONS if pattern.search(line)), None)
        return coded_record(None, symptom, detail=line[:200], **common) if symptom else None
    if "no healthy upstream" in line:
        return coded_record(PRODUCT.codes["UH"], **common)
    if (match := _FLAGGED.fullmatch(line)) and all(flag in PRODUCT.codes for flag in match["flags"].split(",")):
        details = match["details"] or ""
        return record_of(
            flags=match["flags"],
            details=details,
            transport="",
            status=int(match["code"]),
            has_service_time=None,
            host="",
            duration_ms=None,
        )
    if (match := _KEYED.search(line)) and all(flag in PRODUCT.codes for flag in match["flags"].split(",")):
        return _keyed(match["flags"], line)
    plain = _WITH_SPACES.sub(lambda match: match[0].replace(" ", "_"), line)
    if detail := _DETAIL.search(plain) if "upstream_reset_" in line else None:
        return coded_record(_BY_DETAIL[detail[0]], **common)
    if not _OWN.search(line[:200]):
        return None
    return _trace(line, common)


def _keyed(flags: str, line: str) -> LogRecord:
    """Return the record of a `name=value` line, a common custom format of Envoy's fields."""
    values = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(line)}
    named = {part: value for name, value in values.items() for part in _PARTS if part in name}
    return record_of(
        flags=flags,
        details=next((value for value in values.values() if _DETAIL.match(value)), ""),
        transport=named.get("transport_failure", ""),
        status=number(next((values[name] for name in ("status", "response_code", "code") if name in values), "")) or 0,
        has_service_time=named["service_time"].isdigit() if "service_time" in named else None,
        host=next((values[name] for name in ("upstream", "upstream_host", "host") if name in values), ""),
        duration_ms=number(named.get("duration") or named.get("total_time") or ""),
        at=iso(line[:32].split(" ")[0].strip("[]")),
        request=" ".join(values[name] for name in ("method", "request", "path") if name in values),
        server=values.get("authority", ""),
        message=line,
    )


def _trace(line: str, common: dict[str, Any]) -> LogRecord:
    """Return the record of a debug or trace line."""
    return coded_record(None, Symptom.HEADER_INVALID if _TRACE[1][0].search(line) else None, **common)


def stitcher() -> Callable[[LogRecord], LogRecord]:
    """Return the function that compares the records of one stream: a duplicate framing header is why Envoy refuses a response."""
    headers: OrderedDict[str, str] = OrderedDict()  # the framing header in the last trace line of a connection

    def stitch(record: LogRecord) -> LogRecord:
        if record.is_final or record.symptom is not None or not (found := _TRACE[0][0].search(record.message)):
            return record
        if (connection := _CONNECTION.search(record.message)) is None:
            return record
        key, header = connection[1], found[0].lower()
        if headers.get(key) == header:
            detail = f"two headers {header.rpartition('=')[2]}"
            return replace(
                record,
                symptom=Symptom.HEADER_INVALID,
                is_gateway_failure=True,
                phase=phase_of(Symptom.HEADER_INVALID),
                detail=detail,
            )
        headers[key] = header
        headers.move_to_end(key)
        if len(headers) > 256:
            headers.popitem(last=False)
        return record

    return stitch
