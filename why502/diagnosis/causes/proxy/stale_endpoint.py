"""The proxy still sends to a member that is gone; its discovery or configuration generator is behind.

The address belongs to a pod or container that was replaced.

## Confuse not with
- `stale-dns`: a name resolved once at load.
- `deploy-termination-race`: for seconds only.

## Confirm
- Compare the address in the log with the members that the platform knows.

## Fix
- Let the generator reload the proxy; look at its own log.

## References
- https://kubernetes.github.io/ingress-nginx/how-it-works/
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="stale-endpoint",
    layer=Layer.PROXY,
    message="the proxy still sends to a member that is gone; its discovery or configuration generator is behind",
    symptoms={Symptom.STALE_ENDPOINT: LIKELY},
)
