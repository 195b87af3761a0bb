r"""The backend's response is not valid HTTP (FastCGI, uwsgi, gRPC): bad status line, bad header, duplicate framing headers.

nginx answers 502 for an invalid header. It forwards a response without a status line as HTTP/0.9 and logs the status 009. Since
1.23.0 it rejects contradictory framing headers (two Content-Length, or Content-Length with Transfer-Encoding). HAProxy answers
502 and logs PH. Apache answers 502, or 200 for HTTP/0.9.

## Do not confuse with
- `wrong-protocol`: the port speaks another protocol.
- `response-header-too-big`: the header is valid but too long for the buffer.

## Confirm
- `printf 'GET / HTTP/1.0\r\nHost: NAME\r\n\r\n' | nc HOST PORT | head -c 300 | xxd` shows the first bytes.

## Fix
- Correct the application: it must send one status line (`HTTP/1.1 200 OK`), headers as `Name: value`, and one kind of framing.

## References
- RFC 9112, 4 and 6.3
- nginx: src/http/modules/ngx_http_proxy_module.c, ngx_http_proxy_process_status_line
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case, is_of_the_web
from why502.diagnosis.cause import Cause
from why502.diagnosis.takers import taker
from why502.model.finding import LIKELY, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.target import Target


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    probe = case.probe(Symptom.NO_STATUS_LINE, Symptom.HEADER_INVALID, Symptom.BODY_INVALID)
    if probe and is_of_the_web(probe):
        yield supports(f"its response begins with {probe.first_bytes}, as only an HTTP response does", "probe", STRONG)
    elif probe and probe.first_bytes and not probe.speaks:
        yield supports(f"its response begins with {probe.first_bytes}", "probe", WEAK)


def aim(case: Case) -> Target | None:
    """Return the backend whose header a gateway refused in words that name no address, by the requests that failed so."""
    tally = case.tally(Symptom.HEADER_INVALID)
    found = {taker(case.joins, request, tally.server) for request, _ in tally.requests} if tally else set()
    return found.pop() if len(found) == 1 else None


CAUSE = Cause(
    id="invalid-response",
    layer=Layer.UPSTREAM,
    message="the backend's response is not valid HTTP (FastCGI, uwsgi, gRPC): bad status line, bad header, "
    "duplicate framing headers",
    headline="{target} sends an invalid response",
    symptoms={Symptom.NO_STATUS_LINE: LIKELY, Symptom.HEADER_INVALID: 5.0, Symptom.BODY_INVALID: LIKELY},
    examine=examine,
    aim=aim,
)
