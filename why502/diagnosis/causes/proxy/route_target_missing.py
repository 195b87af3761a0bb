"""The route names a cluster, service or backend that does not exist.

Envoy logs NC (cluster_not_found), HAProxy "unable to find required use_backend", Traefik "the service … does not exist".

## Do not confuse with
- `no-upstream-members`: the backend exists but is empty.

## Confirm
- Compare the name in the route with the list of backends.

## Fix
- Correct the name, or create the backend.

## References
- https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="route-target-missing",
    layer=Layer.PROXY,
    message="the route names a cluster, service or backend that does not exist",
    symptoms={Symptom.ROUTE_TARGET_MISSING: 5.0},
)
