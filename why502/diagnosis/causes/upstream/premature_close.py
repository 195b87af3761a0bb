"""It closed the connection before a whole response header.

502, "upstream prematurely closed connection while reading response header from upstream". Something ended the request inside the application:
a crash, a limit of the application server, an exception, a port that speaks another protocol.

## Confuse not with
- `worker-timeout`, `backend-crashed`, `backend-oom-killed`: why it closed, where that is known.
- `keepalive-race`: rare, quick, on a reused connection.
- `truncated-response`: the header came, the body was cut (status 200 in the log).
- `connection-reset`: the same with RST.

## Confirm
- The application's log at that second; `curl -v http://TARGET/PATH` straight to it ("Empty reply from server").

## Fix
- What the application's log names. Without a log line: its process limit, memory, and uncaught exceptions.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_process_header
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.tally(Symptom.CLOSED_BEFORE_HEADER) and case.answers_now is True:
        yield supports("it accepts connections and answers other requests", "probe", 0.5)


CAUSE = Cause(
    id="premature-close",
    layer=Layer.UPSTREAM,
    message="the backend closed the connection before a complete response header",
    headline="{target} closes connections before it has sent a complete response header",
    symptoms={Symptom.CLOSED_BEFORE_HEADER: LIKELY},
    examine=examine,
)
