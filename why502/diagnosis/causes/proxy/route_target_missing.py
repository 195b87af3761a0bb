"""The route names a cluster, service or backend that does not exist.

Envoy NC (cluster_not_found), HAProxy "unable to find required use_backend", Traefik "the service … does not exist".

## Confuse not with
- `no-upstream-members`: it exists and is empty.

## Confirm
- The name in the route against the list of backends.

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
