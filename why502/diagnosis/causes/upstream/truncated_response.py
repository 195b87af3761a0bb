"""It closed the connection in the middle of a response body.

The status was sent already: the access log shows 200 with too few bytes, the client sees a cut answer. "upstream prematurely closed connection
while reading upstream". FastCGI without keepalive leaves no error line at all.

## Confuse not with
- `proxy-temp-unwritable`, `disk-full`, `proxy-temp-file-limit`: the proxy itself cut the answer.
- `backend-crashed`, `worker-timeout`: why, where it is known.

## Confirm
- `curl -v http://TARGET/PATH` straight to the backend: "transfer closed with N bytes remaining".

## Fix
- What the application's log names at that second; an application that announces a wrong Content-Length.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_finalize_request (header_sent)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom

BAD_GATEWAY = 502


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    tally = case.tally(Symptom.RESET_IN_BODY)
    if tally and tally.status is not None and tally.status < BAD_GATEWAY:
        yield supports(f"the client had received the response header with {tally.status} by then", tally.source, STRONG)
    if case.probe(Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY):
        yield supports("the response to a probe was cut in its body too", "probe", WEAK)


CAUSE = Cause(
    id="truncated-response",
    layer=Layer.UPSTREAM,
    message="the backend closed the connection in the middle of a response body",
    headline="{target} closes connections in the middle of its responses",
    symptoms={Symptom.CLOSED_IN_BODY: LIKELY, Symptom.RESET_IN_BODY: LIKELY},
    explains=frozenset({"connection-reset"}),
    examine=examine,
)
