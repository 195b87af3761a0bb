"""The client, or a balancer in front, gave up first (nginx 499); often a symptom of a slow backend.

If all of them took the same time, that time is the timeout of the caller in front (10, 15, 30 or 60 s). HAProxy logs CH or CC,
ALB logs 460. The proxy itself works correctly.

## Do not confuse with
- `backend-too-slow` and similar causes: they explain why the client had to wait.

## Confirm
- Look at the distribution of `$request_time` among the 499 responses.

## Fix
- Make the backend faster, or make the caller's timeout longer than the proxy's.
- nginx: use `proxy_ignore_client_abort on` if the work must be finished.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_check_broken_connection
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.alarms import is_impatience
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.takers import door_of
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom, Tally

ABOUT = 2  # times as many: the windows of two logs differ by seconds


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    tally = case.tally(Symptom.CLIENT_CLOSED)
    if tally and not case.offline and is_impatience(case.here, case.target):
        yield refutes(
            f"{tally.count} of many requests: some clients always disconnect early, or cancel a download", tally.source, LIKELY
        )
    if tally and (front := _front(case, tally)):
        yield refutes(
            f"its client is {front.proxy}, which gave up on {front.count} requests ({front.code})", front.source, LIKELY
        )
    if tally and case.probe(Symptom.CONNECT_REFUSED) and not (case.traffic and case.traffic.last_success):
        yield refutes("connections to it are refused: the clients left while the proxy tried to connect", "probe", LIKELY)
    if tally and tally.duration_min_s is not None and tally.duration_max_s is not None:
        spread = tally.duration_max_s - tally.duration_min_s
        if tally.count >= 3 and tally.duration_min_s >= 1 and spread <= 0.1 * tally.duration_max_s:
            yield supports(
                f"all disconnected after the same {tally.duration_max_s:.1f} s: this is a timeout of the caller",
                tally.source,
                WEAK,
            )


def _front(case: Case, left: Tally) -> Tally | None:
    """Return what the gateway in front on this machine tells of its own timeouts, if they are about as many requests as clients
    left: it was the client. None otherwise.
    """
    door = door_of(case.joins, case.route.proxy) if case.route is not None else None
    late = case.here.logs.tallies if case.here.logs and door is not None and door != case.target else ()
    found = (tally for tally in late if tally.symptom is Symptom.READ_TIMED_OUT and tally.target == door and tally.proxy)
    return next((tally for tally in found if ABOUT * tally.count >= left.count), None)


@rule(76, "retries-unbounded", Severity.NOTE)
def unbounded_retries(deployment: Deployment) -> Iterator[Risk]:
    """Retries on many servers can add up to many times the read timeout.

    nginx tries a slow request on each server in turn before it answers with 504. By then the client has left (499), and every
    server has done the work.
    """
    seen = set()
    for route in deployment.routes:
        if len(route.peers) < 3 or "timeout" not in route.next_upstream:
            continue
        module = route.directive.removesuffix("_pass")
        peers = [peer for peer in deployment.peers(route) if not peer.is_down]
        limit = route.setting(f"{module}_next_upstream_timeout")
        is_bounded = route.next_upstream_tries > 0 or (limit is not None and limit.args[:1] not in (("0",), ("0s",)))
        longest_s = len(peers) * route.read_timeout_s
        if not is_bounded and len(peers) > 2 and longest_s >= 300 and route.upstream not in seen:
            seen.add(route.upstream)
            message = f"a slow request is tried on {len(peers)} servers, up to {longest_s:g} s"
            yield risk(message, route.at, f"add `{module}_next_upstream_tries 2;` or {module}_next_upstream_timeout")


CAUSE = Cause(
    id="client-closed-request",
    layer=Layer.CLIENT,
    message="the client, or a balancer in front, gave up first (nginx 499); often a symptom of a slow backend",
    headline="clients gave up before {target} had answered",
    symptoms={Symptom.CLIENT_CLOSED: LIKELY},
    examine=examine,
    foresee=(unbounded_retries,),
)
