"""The backend answers, but only after the proxy's read timeout.

nginx answers 504 after proxy_read_timeout (60 s by default) "while reading response header from upstream". Apache answers 502,
HAProxy 504 with sH. The timer starts at the end of the request. Partial headers do not restart it.

## Do not confuse with
- `proxy-timeout-too-short`: the application legitimately needs that long, and finishes.
- `backend-hung`: it never answers anything.
- `workers-exhausted`: each request is fast but waits for a free worker.
- `worker-timeout`: the application server kills its own worker first (502).

## Confirm
- `curl -o /dev/null -w '%{time_starttransfer}' --max-time 300 -H 'Host: NAME' http://TARGET/PATH` measures the request directly
  at the backend.

## Fix
- Find out what the request waits for (database, another service, disk). Raise the timeout of that route only if the work
  legitimately takes that long. Otherwise answer immediately and do the work in the background.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_next (a timeout is 504)
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import alone, never_answered, unfinished
from why502.gateways.behaviour import read_limit_s
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom

USUAL_S = 60.0  # the default of every nginx module
QUICK = 0.5  # of the limit
RARE = 0.05
MUCH = 4.0  # times the limit: longer than any wait that a too short limit explains


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(*CAUSE.symptoms):
        return
    if apart := never_answered(case):
        yield supports(apart.message, "access log", STRONG)
    if error := unfinished(case):
        yield refutes(f"its handler may fail and never answer: {error.message}", error.source, LIKELY)
    traffic = case.traffic
    if traffic and traffic.attempts > traffic.failures > 0:
        weight = 0.2 if case.offline else WEAK  # too few workers cause the same, and files do not show them
        message = f"{traffic.attempts - traffic.failures} of {traffic.attempts} attempts were answered in time"
        yield supports(message, "access log", weight)
    limit = read_limit_s(case.route) if case.route else USUAL_S
    slowest = traffic.response_p95_s if traffic else None  # of all attempts; if failures are below RARE, of successful ones
    if traffic and slowest and traffic.failures < RARE * traffic.attempts and slowest >= QUICK * limit:
        message = f"one in twenty responses takes more than {slowest:.1f} s, and the proxy waits {limit:g} s"
        yield supports(message, "access log", WEAK)
    took = next((p.first_byte_s for p in case.probes if p.symptom is None and p.first_byte_s is not None), None)
    if took is not None and case.tally(Symptom.READ_TIMED_OUT):
        if took >= QUICK * limit:
            yield supports(f"it is running: a probe was answered after {took:.2f} s", "probe", WEAK)
        elif case.answers_now and any(p.repeats for p in case.probes):
            message = f"a single probe was answered after {took:.2f} s: it may have been stuck, or overloaded"
            yield refutes(message, "probe", WEAK)
    if limit < USUAL_S and any(p.status is not None and limit <= (p.first_byte_s or 0) <= MUCH * limit for p in case.probes):
        yield refutes(f"the limit of {limit:g} s was set for it explicitly: it may be too short for its work", "probe", WEAK)
    if case.killer and not case.restarts and case.events(Symptom.RESTART_LOOP):
        yield refutes(f"requests wait while it restarts: {case.killer} ends it each time", "access log, journal", STRONG)
    has_answered = limit < math.inf or case.last_answered is not None  # else nothing shows that it ever answers
    if case.tally(Symptom.CLIENT_CLOSED) and case.probe(Symptom.READ_TIMED_OUT) and has_answered:
        yield supports("clients disconnected, and a probe got no answer in time either", "probe", FAIR)


def summarize(case: Case) -> str:
    """Return the finding in one sentence if only one path is slow."""
    apart = never_answered(case)
    if apart is None:
        only = alone(case) if case.tally(Symptom.READ_TIMED_OUT) else ""
        return f"{case.target} does not answer in time: {only}" if only else ""
    limit_s = read_limit_s(case.route) if case.route else math.inf
    limit = f" within the {limit_s:g} s that the proxy waits" if limit_s < math.inf else " in time"
    return (
        f"{case.target} does not answer {apart.request}{limit}; {apart.others_answered} of {apart.others} other requests "
        "were answered"
    )


CAUSE = Cause(
    id="backend-too-slow",
    layer=Layer.UPSTREAM,
    message="the backend answers, but only after the proxy's read timeout",
    headline="{target} answers only after {proxy} has given up",
    symptoms={
        Symptom.READ_TIMED_OUT: LIKELY,
        Symptom.BODY_TIMED_OUT: STRONG,
        Symptom.SEND_TIMED_OUT: STRONG,
        Symptom.CLIENT_CLOSED: 0.5,
        Symptom.APPLICATION_SLOW: LIKELY,
        Symptom.PHP_SLOW: LIKELY,
    },
    explains=frozenset({"client-closed-request"}),
    examine=examine,
    summarize=summarize,
)
