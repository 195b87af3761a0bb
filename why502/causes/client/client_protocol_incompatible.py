"""The request's protocol does not fit the target (gRPC to an HTTP/1 group).

ALB 464, Envoy UPE towards the client.

## Confuse not with
- `wrong-protocol`: between proxy and backend.

## Confirm
- The group's protocol version against what the client speaks.

## Fix
- A group of that protocol version, or another path for it.

## References
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="client-protocol-incompatible",
    layer=Layer.CLIENT,
    says="the request's protocol does not fit the target (gRPC to an HTTP/1 group)",
    symptoms={Symptom.CLIENT_PROTOCOL: 5.0},
)
