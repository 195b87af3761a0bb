"""No route matches the request.

Envoy NR, Traefik "404 page not found", ingress "default backend - 404".

## Confuse not with
- `route-target-missing`: the route is there, its backend is not.

## Confirm
- The proxy's list of routes against the request's host and path.

## Fix
- Add the route, or the host name to it.

## References
- https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="route-not-found",
    layer=Layer.PROXY,
    says="no route matches the request",
    symptoms={Symptom.ROUTE_MISSING: 5.0},
)
