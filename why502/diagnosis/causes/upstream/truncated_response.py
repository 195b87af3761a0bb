"""The backend closed the connection in the middle of a response body.

The status was already sent, so the access log shows 200 with too few bytes, and the client gets a truncated response. nginx logs
"upstream prematurely closed connection while reading upstream". FastCGI without keepalive causes no error line at all.

## Do not confuse with
- `proxy-temp-unwritable`, `disk-full`, `proxy-temp-file-limit`: the proxy itself truncated the response.
- `backend-crashed`, `worker-timeout`: the known reason for the close.

## Confirm
- `curl -v http://TARGET/PATH` directly to the backend shows "transfer closed with N bytes remaining".

## Fix
- Fix what the application's log names for that second. Also check whether the application sends a wrong Content-Length.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_finalize_request (header_sent)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.cut_answers import cut_answer
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom

BAD_GATEWAY = 502
SWITCHED = 101  # Switching Protocols: a tunnel, which has no length to fall short of


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    tally = case.tally(Symptom.RESET_IN_BODY)
    if tally and tally.status == SWITCHED:
        yield refutes("these connections were upgraded (101): they carry no response", tally.source, PROOF)
    elif tally and (cut := cut_answer(tally)):
        yield refutes(cut, tally.source, LIKELY)
    elif tally and tally.status is not None and tally.status < BAD_GATEWAY:
        yield supports(f"the client had received the response header with {tally.status} by then", tally.source, STRONG)
    if case.probe(Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY):
        yield supports("the response to a probe was truncated too", "probe", WEAK)


CAUSE = Cause(
    id="truncated-response",
    layer=Layer.UPSTREAM,
    message="the backend closed the connection in the middle of a response body",
    headline="{target} closes connections in the middle of its responses",
    symptoms={Symptom.CLOSED_IN_BODY: LIKELY, Symptom.RESET_IN_BODY: LIKELY},
    explains=frozenset({"connection-reset"}),
    examine=examine,
)
