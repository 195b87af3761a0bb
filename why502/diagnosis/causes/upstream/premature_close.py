"""The backend closed the connection before it sent a complete response header.

nginx answers 502 and logs "upstream prematurely closed connection while reading response header from upstream". The request ended
inside the application: a crash, a limit of the application server, an exception, or a port that speaks another protocol.

## Do not confuse with
- `worker-timeout`, `backend-crashed`, `backend-oom-killed`: the known reason for the close.
- `keepalive-race`: rare, within milliseconds, on a reused connection.
- `truncated-response`: the header arrived, but the body was truncated (status 200 in the log).
- `connection-reset`: the same, but with a TCP reset.

## Confirm
- Read the application's log for that second. `curl -v http://TARGET/PATH` directly to it shows "Empty reply from server".

## Fix
- Fix what the application's log names. If it shows nothing, check its process limits, its memory and uncaught exceptions.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_process_header
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.dropped import dropped
from why502.gateways.behaviour import behaviour
from why502.model.finding import LIKELY, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    closed = case.tally(Symptom.CLOSED_BEFORE_HEADER)
    if closed is not None and case.probe(Symptom.RESET_BEFORE_HEADER) and not behaviour(closed.proxy or "").tells_resets:
        yield refutes("the connection of a probe was reset, not closed", "probe", LIKELY)
    if broken := dropped(case):
        yield refutes(f"the application broke it off with an error: {broken[0].message}", broken[0].source, LIKELY)
    if closed is not None and case.answers_now is True:
        yield supports("it accepts connections and answers other requests", "probe", 0.5)


CAUSE = Cause(
    id="premature-close",
    layer=Layer.UPSTREAM,
    message="the backend closed the connection before it sent a complete response header",
    headline="{target} closes connections before it has sent a complete response header",
    symptoms={Symptom.CLOSED_BEFORE_HEADER: LIKELY},
    examine=examine,
)
