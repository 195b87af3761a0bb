"""The backend reset the connection in the middle of a request.

nginx logs "recv() failed (104: Connection reset by peer)" and answers 502. The backend closed a socket that still had unread
bytes, or died. A broken pipe while sending the request means the same, a moment earlier.

## Do not confuse with
- `php-fpm-crashed`, `backend-crashed`, `backend-oom-killed`, `worker-timeout`: the known reason for the reset.
- `request-header-too-big`: the application rejects the request without reading it.
- `premature-close`: the connection was closed normally (FIN).

## Confirm
- Read the logs of the application and the kernel for that second.

## Fix
- Fix what those logs name: the crash, the limit or the restart.

## References
- https://man7.org/linux/man-pages/man7/tcp.7.html; RFC 9293, 3.10.7 (reset)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.cut_answers import cut_answer
from why502.diagnosis.dropped import dropped
from why502.gateways.behaviour import behaviour
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause. Not every gateway tells a reset from a close."""
    closed, reset = case.tally(Symptom.CLOSED_BEFORE_HEADER), case.probe(Symptom.RESET_BEFORE_HEADER)
    if closed is not None and reset is not None and not behaviour(closed.proxy or "").tells_resets:
        yield supports(f"the connection of a probe was reset; {closed.proxy} calls this closed, too", "probe", LIKELY)
    if broken := dropped(case):
        yield refutes(f"the application broke it off with an error: {broken[0].message}", broken[0].source, LIKELY)
    if (tally := case.tally(Symptom.RESET_IN_BODY)) and (cut := cut_answer(tally)):
        yield refutes(cut, tally.source, LIKELY)


CAUSE = Cause(
    id="connection-reset",
    layer=Layer.UPSTREAM,
    message="the backend reset the connection in the middle of a request",
    headline="{target} resets connections in the middle of a request",
    symptoms={
        Symptom.RESET_BEFORE_HEADER: LIKELY,
        Symptom.RESET_IN_BODY: LIKELY,
        Symptom.CONNECT_RESET: LIKELY,
        Symptom.SEND_FAILED: LIKELY,
        Symptom.CONNECTION_DIED: WEAK,
    },
    examine=examine,
)
