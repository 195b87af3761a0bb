"""It closes idle keepalive connections sooner than the proxy stops reusing them.

The proxy sends a request on a connection that the backend closes at that very moment: close or reset a few milliseconds after the request, rare,
on any URL. nginx tries GET again by itself (the client sees nothing); POST, PATCH and LOCK fail with 502.

## Confuse not with
- `premature-close`, `connection-reset`: on fresh connections, or always on the same URL.
- `deploy-termination-race`: only around restarts.

## Confirm
- `keepalive` in the upstream block (default since nginx 1.29.7); the backend's idle time: Node.js 5 s, gunicorn 2 s, uvicorn 5 s, Apache 5 s.

## Fix
- Make the backend's idle timeout longer than the proxy's (keepalive_timeout in the upstream block, 60 s by default), or that one shorter.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_timeout
- https://github.com/nodejs/node/issues/27363
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.config.edit import set_directive
from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.nginx.config import units
from why502.model.finding import FAIR, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.remedies.changes import reload, tree_of

QUICK_S = 0.1  # a request on a dead connection fails within a round trip


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    tally = case.tally(Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.SEND_FAILED)
    if tally is None:
        return
    route = case.route
    if route is not None and not route.keepalive:
        yield refutes("the proxy keeps no connection to it open", str(route.at or ""), PROOF)
        return
    if route is not None:
        at = case.group.keepalive_at if case.group and case.group.keepalive_at else route.at
        yield supports(
            f"the proxy keeps up to {route.keepalive} idle connections open for {route.keepalive_timeout_s:g} s",
            str(at or ""),
            FAIR,
        )
    if tally.duration_max_s is not None and tally.duration_max_s > QUICK_S:
        yield refutes(
            f"a failing request took {tally.duration_max_s:.2f} s: not a connection that was already closed", "access log", FAIR
        )
    elif tally.duration_max_s is not None:
        yield supports(f"the requests failed within {max(1, round(tally.duration_max_s * 1000))} ms", "access log", WEAK)
    traffic = case.traffic
    if traffic and traffic.attempts >= 5 and traffic.failures <= traffic.attempts / 2:
        yield supports(f"only {traffic.failures} of {traffic.attempts} attempts failed", "access log", WEAK)
    elif traffic and traffic.attempts >= 3 and traffic.failures == traffic.attempts:
        yield refutes("every attempt failed, on fresh connections too", "access log", STRONG)
    if case.answers_now is True:
        yield supports("a fresh connection is answered properly", "probe", WEAK)
    elif case.answers_now is False:
        yield refutes("a fresh connection fails too", "probe", STRONG)
    if tally.requests and all(request.split(" ")[0] in ("POST", "PATCH", "LOCK") for request, _ in tally.requests):
        yield supports("only methods failed that nginx does not retry", tally.source, WEAK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Keep idle connections for a shorter time than the backend does."""
    group = case.group
    tree = tree_of(case, group.at if group else None)
    message = (
        "let the proxy give up idle connections before the backend does (Node.js and uvicorn close after 5 s, gunicorn after 2 s)"
    )
    if group is None or group.at is None or tree is None:
        yield Remedy(message=message)
        return
    # Shorter than any application waits, and long enough for a busy one: between its requests lie milliseconds.
    change = set_directive(tree, group.at, "keepalive_timeout", "100ms")
    yield Remedy(message=f"{message}: after 100 ms", steps=(change, *reload(case.proxy)))


@rule(44, "keepalive-without-idle-time", Severity.NOTE)
def no_idle_time(deployment: Deployment) -> Iterator[Risk]:
    """A group keeps idle connections for the default time, whatever the backend does.

    nginx reuses them for 60 s. Many application servers close them sooner (Node.js and uvicorn after 5 s, gunicorn after 2 s): a request
    that meets the closing is a 502 (`upstream prematurely closed connection`), and is not repeated where it is a POST.
    """
    speaking = {route.upstream for route in deployment.routes if route.protocol in ("http", "https")}
    for group in deployment.upstreams:
        if group.keepalive_at is None or not group.keepalive or group.name not in speaking or not deployment.since(1, 15, 3):
            continue
        level = deployment.block_at(group.at)
        if level and not level.own("keepalive_timeout"):
            message = f'upstream "{group.name}" keeps idle connections for 60 s, the default'
            yield risk(message, group.keepalive_at, "set keepalive_timeout below the backend's own idle time, or raise that one")


@rule(45, "balancer-outlives-keepalive", Severity.NOTE)
def balancer_in_front(deployment: Deployment) -> Iterator[Risk]:
    """A balancer stands in front, and nginx closes idle connections sooner than balancers do.

    That one does is seen from `real_ip_header`. AWS balancers keep them for 60 s, Google's for 600 s: a request that meets the closing is
    a 502 of the balancer, which nginx never logs.
    """
    seen = set()
    for route in deployment.routes:
        found = route.settings.get("keepalive_timeout")
        if not found or "real_ip_header" not in route.settings or found[-1].at in seen:
            continue
        seconds = units.time(found[-1].args[0]) if found[-1].args else None
        if seconds and seconds < 60:
            seen.add(found[-1].at)
            yield risk(
                f"idle connections of the balancer in front are closed after {seconds:g} s",
                found[-1].at,
                "set it above the balancer's",
            )


CAUSE = Cause(
    id="keepalive-race",
    layer=Layer.UPSTREAM,
    message="the backend closes idle keepalive connections sooner than the proxy stops reusing them",
    headline="{target} closes idle connections that {proxy} still uses",
    symptoms={Symptom.CLOSED_BEFORE_HEADER: WEAK, Symptom.RESET_BEFORE_HEADER: WEAK, Symptom.SEND_FAILED: 0.5},
    explains=frozenset({"connection-reset", "premature-close"}),
    examine=examine,
    remedies=remedies,
    foresee=(
        no_idle_time,
        balancer_in_front,
    ),
)
