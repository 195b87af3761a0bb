"""The group is empty: no endpoint, no registered target, a selector or service name that matches nothing.

503 at once and no address: ingress-nginx upstream `-`, ALB target `-`, HAProxy <NOSRV>, Envoy UH, Traefik "no available server".

## Confuse not with
- `health-check-misconfigured`: members are there and marked unhealthy.
- `all-upstreams-down`: they are there and fail.

## Confirm
- `kubectl get endpointslices -l kubernetes.io/service-name=NAME`; the target group's registered targets.

## Fix
- Correct the selector, the service's name or port; register a target.

## References
- https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="no-upstream-members",
    layer=Layer.PROXY,
    says="the group is empty: no endpoint, no registered target, a selector or service name that matches nothing",
    symptoms={Symptom.NO_MEMBERS: 5.0},
)
