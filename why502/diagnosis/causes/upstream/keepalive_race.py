"""The backend closes idle keepalive connections sooner than the proxy stops reusing them.

The proxy sends a request on a connection that the backend closes at the same moment. The connection is closed or reset a few
milliseconds after the request. This is rare and affects any URL. nginx retries GET automatically, so the client sees no error.
POST, PATCH and LOCK fail with 502.

## Do not confuse with
- `premature-close`, `connection-reset`: happen on new connections too, or always for the same URL.
- `deploy-termination-race`: happens only around restarts.

## Confirm
- Look for `keepalive` in the upstream block (the default since nginx 1.29.7). Compare the backend's idle timeout: Node.js 5 s,
  gunicorn 2 s, uvicorn 5 s, Apache 5 s.

## Fix
- Make the backend's idle timeout longer than the proxy's, or shorten the proxy's.
- nginx: the proxy's is keepalive_timeout in the upstream block, 60 s by default.

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
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.model.finding import FAIR, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.request_line import method_of
from why502.remedies.changes import reload, tree_of

_NOT_RETRIED = ("POST", "PATCH", "LOCK")  # by nginx: clients see these failures alone
QUICK_S = 0.1  # a request on a dead connection fails within a round trip


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    tally = case.tally(Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.SEND_FAILED)
    if tally is None:
        return
    route = case.route
    if route is not None and not route.keepalive:
        yield refutes("the proxy keeps no idle connections to it", str(route.at or ""), PROOF)
        return
    if route is not None:
        at = case.group.keepalive_at if case.group and case.group.keepalive_at else route.at
        yield supports(
            f"the proxy keeps up to {route.keepalive} idle connections open for {route.keepalive_timeout_s:g} s",
            str(at or ""),
            0.5 if behaviour(route.proxy).keeps_connections and case.unanswered else FAIR,
        )
    if case.killer and method_of(case.killer) not in _NOT_RETRIED and not case.reloads:
        message = f"nearly all broken requests are {case.killer}: an idle connection that is closed could meet any request"
        yield refutes(message, tally.source, STRONG)
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
        yield refutes("every attempt failed, on new connections too", "access log", STRONG)
    if case.answers_now is True:
        yield supports("a request on a new connection succeeds", "probe", WEAK)
    elif case.answers_now is False:
        yield refutes("a request on a new connection fails too", "probe", STRONG)
    if tally.requests and all(method_of(request) in _NOT_RETRIED for request, _ in tally.requests):
        yield supports("only methods failed that nginx does not retry", tally.source, WEAK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: keep idle connections for a shorter time than the backend does."""
    group = case.group
    tree = tree_of(case, group.at if group else None)
    message = (
        "make the proxy close idle connections before the backend does (Node.js and uvicorn close after 5 s, gunicorn after 2 s)"
    )
    if group is None or group.at is None or tree is None:
        yield Remedy(message=message)
        return
    # Shorter than any application keeps them. Long enough for a busy one, whose requests are milliseconds apart.
    change = set_directive(tree, group.at, "keepalive_timeout", "100ms")
    yield Remedy(message=f"{message}: after 100 ms", steps=(change, *reload(case.proxy)))


@rule(44, "keepalive-without-idle-time", Severity.NOTE)
def no_idle_time(deployment: Deployment) -> Iterator[Risk]:
    """A group keeps idle connections for the default time, which may be longer than the backend keeps them.

    nginx reuses them for 60 s. Many application servers close them sooner (Node.js and uvicorn after 5 s, gunicorn after 2 s). A
    request sent at that moment gets 502 (`upstream prematurely closed connection`), and nginx does not retry a POST.
    """
    speaking = {route.upstream for route in deployment.routes if route.protocol in ("http", "https")}
    for group in deployment.upstreams:
        if group.keepalive_at is None or not group.keepalive or group.name not in speaking or not deployment.since(1, 15, 3):
            continue
        level = deployment.block_at(group.at)
        if level and not level.own("keepalive_timeout"):
            message = f'upstream "{group.name}" keeps idle connections for 60 s, the default'
            yield risk(
                message, group.keepalive_at, "set keepalive_timeout below the backend's idle timeout, or raise the backend's"
            )


@rule(45, "balancer-outlives-keepalive", Severity.NOTE)
def balancer_in_front(deployment: Deployment) -> Iterator[Risk]:
    """nginx is behind a load balancer and closes idle connections sooner than load balancers do.

    `real_ip_header` shows that there is one. AWS balancers keep connections for 60 s, Google's for 600 s. A request sent while
    nginx closes the connection gets 502 from the balancer, and nginx does not log it.
    """
    seen = set()
    for route in deployment.routes_with("real_ip_header"):
        found = route.settings.get("keepalive_timeout")
        if not found or "real_ip_header" not in route.settings or found[-1].at in seen:
            continue
        seconds = units.time(found[-1].args[0]) if found[-1].args else None
        if seconds and seconds < 60:
            seen.add(found[-1].at)
            yield risk(
                f"nginx closes idle connections from the load balancer after {seconds:g} s",
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
