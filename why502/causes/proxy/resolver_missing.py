"""The target holds a variable and no resolver is configured.

"no resolver defined to resolve NAME", 502. A name without variable is resolved when the configuration is loaded and needs none.

## Confuse not with
- `dns-host-not-found`, `dns-resolver-failure`: there is one, and it says no or nothing.

## Confirm
- `nginx -T | grep -n resolver`

## Fix
- `resolver ADDRESS valid=30s;` at http, server or location level (Docker: 127.0.0.11); or the name in an upstream block.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.cause import Cause
from why502.deployment import Deployment, host_name
from why502.model.finding import PROOF, Layer, Risk, Severity
from why502.model.logs import Symptom
from why502.rule import risk, rule


@rule(20, "variable-without-resolver", Severity.ERROR)
def without_resolver(deployment: Deployment) -> Iterator[Risk]:
    """The target holds a variable and no `resolver` is in force.

    nginx loads the configuration, and every request there is a 502 (`no resolver defined to resolve`), also for `localhost`. Only
    addresses, upstream groups and names that another pass directive has without a variable need none.
    """
    static = {(host_name(p), p.target.port) for r in deployment.routes if not r.has_variables for p in r.peers if p.target}
    for route in deployment.routes:
        level = deployment.level(route)
        if not route.has_variables or route.resolver or not deployment.is_whole or level is None or not level.is_known:
            continue
        for peer in route.peers:
            if peer.at != route.at or peer.name.startswith("unix:"):
                continue
            host = peer.name.rsplit(":", 1)[0] if not peer.name.endswith("]") else peer.name
            is_open = "$" in host
            if not is_open and (not host_name(peer) or (peer.target and (host_name(peer), peer.target.port) in static)):
                continue
            says = (
                f"{route.directive} {route.passes}: no resolver is set, so only an address or a group can be meant"
                if is_open
                else f"{peer.name} is looked up for each request, and no resolver is set"
            )
            yield risk(
                says,
                route.at,
                "add `resolver ADDRESS valid=30s;` (in Docker 127.0.0.11), or name an upstream group",
                severity=Severity.WARNING if is_open else None,
            )
            break


CAUSE = Cause(
    id="resolver-missing",
    layer=Layer.PROXY,
    says="the target holds a variable and no resolver is configured",
    symptoms={Symptom.NO_RESOLVER: PROOF},
    foresee=(without_resolver,),
)
