"""The client, or a balancer in front, gave up first (nginx 499); often a symptom of a slow backend.

All alike in duration: the timeout of the caller in front (10, 15, 30, 60 s). HAProxy CH, CC; ALB 460. Nothing is wrong with the proxy.

## Confuse not with
- `backend-too-slow` and its kin: why the client had to wait.

## Confirm
- The distribution of `$request_time` among the 499.

## Fix
- Make the backend faster, or the caller's timeout longer than the proxy's; `proxy_ignore_client_abort on` where the work must be finished.

## References
- nginx: src/http/ngx_http_upstream.c, ngx_http_upstream_check_broken_connection
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.index import is_impatience
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    tally = case.tally(Symptom.CLIENT_CLOSED)
    if tally and not case.offline and is_impatience(case.here, case.target):
        yield refutes(f"{tally.count} of many requests: some clients always give up, or cancel a download", tally.source, LIKELY)
    if tally and tally.duration_min_s is not None and tally.duration_max_s is not None:
        spread = tally.duration_max_s - tally.duration_min_s
        if tally.count >= 3 and tally.duration_min_s >= 1 and spread <= 0.1 * tally.duration_max_s:
            yield supports(
                f"all gave up after the same {tally.duration_max_s:.1f} s: a timeout of the caller", tally.source, WEAK
            )


@rule(76, "retries-unbounded", Severity.NOTE)
def unbounded_retries(deployment: Deployment) -> Iterator[Risk]:
    """Retries over many servers may take many times the read timeout.

    A slow request is tried on each server in turn, and only then answered with 504; the client is gone by then (499), and every server
    has carried the work.
    """
    seen = set()
    for route in deployment.routes:
        module = route.directive.removesuffix("_pass")
        peers = [peer for peer in route.peers if not peer.is_down]
        limit = route.setting(f"{module}_next_upstream_timeout")
        is_bounded = route.next_upstream_tries > 0 or (limit is not None and limit.args[:1] not in (("0",), ("0s",)))
        longest_s = len(peers) * route.read_timeout_s
        if (
            "timeout" in route.next_upstream
            and not is_bounded
            and len(peers) > 2
            and longest_s >= 300
            and route.upstream not in seen
        ):
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
