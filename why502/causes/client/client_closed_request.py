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

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    tally = case.tally(Symptom.CLIENT_CLOSED)
    if tally and tally.duration_min_s is not None and tally.duration_max_s is not None:
        spread = tally.duration_max_s - tally.duration_min_s
        if tally.count >= 3 and tally.duration_min_s >= 1 and spread <= 0.1 * tally.duration_max_s:
            yield supports(
                f"all gave up after the same {tally.duration_max_s:.1f} s: a timeout of the caller", tally.seen_in, WEAK
            )


CAUSE = Cause(
    id="client-closed-request",
    layer=Layer.CLIENT,
    says="the client, or a balancer in front, gave up first (nginx 499); often a symptom of a slow backend",
    symptoms={Symptom.CLIENT_CLOSED: LIKELY},
    yields_to=frozenset(
        {
            "backend-hung",
            "backend-too-slow",
            "connect-timeout",
            "cpu-saturation",
            "io-saturation",
            "listen-backlog-overflow",
            "memory-pressure",
            "php-fpm-max-children",
            "workers-exhausted",
        }
    ),
    examine=examine,
)
