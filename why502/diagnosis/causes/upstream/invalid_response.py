r"""What it sent is not a valid HTTP (FastCGI, uwsgi, gRPC) response: bad status line, bad header, duplicate framing headers.

nginx answers 502 for an invalid header, but passes an answer without a status line on as HTTP/0.9 and logs the status 009. Contradictory
framing headers (two Content-Length, Content-Length with Transfer-Encoding) are refused since 1.23.0. HAProxy 502 PH; Apache 502, or 200 for HTTP/0.9.

## Confuse not with
- `wrong-protocol`: the port speaks something else altogether.
- `response-header-too-big`: valid, and too long for the buffer.

## Confirm
- `printf 'GET / HTTP/1.0\r\nHost: NAME\r\n\r\n' | nc HOST PORT | head -c 300 | xxd`

## Fix
- In the application: one status line `HTTP/1.1 200 OK`, headers `Name: value`, one kind of framing.

## References
- RFC 9112, 4 and 6.3
- nginx: src/http/modules/ngx_http_proxy_module.c, ngx_http_proxy_process_status_line
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case, is_of_the_web
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    probe = case.probe(Symptom.NO_STATUS_LINE, Symptom.HEADER_INVALID, Symptom.BODY_INVALID)
    if probe and is_of_the_web(probe):
        yield supports(f"its response begins with {probe.first_bytes}, as only a web server's does", "probe", STRONG)
    elif probe and probe.first_bytes and not probe.speaks:
        yield supports(f"its response begins with {probe.first_bytes}", "probe", WEAK)


CAUSE = Cause(
    id="invalid-response",
    layer=Layer.UPSTREAM,
    message="the backend's response is not valid HTTP (FastCGI, uwsgi, gRPC): bad status line, bad header, duplicate framing headers",
    headline="{target} sends an invalid response",
    symptoms={Symptom.NO_STATUS_LINE: LIKELY, Symptom.HEADER_INVALID: 5.0, Symptom.BODY_INVALID: LIKELY},
    examine=examine,
)
