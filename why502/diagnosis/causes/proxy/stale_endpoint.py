"""The proxy still sends requests to a member that is gone: service discovery or its configuration generator lags behind.

The address belongs to a pod or container that was replaced.

## Do not confuse with
- `stale-dns`: a name was resolved only once, when the configuration was loaded.
- `deploy-termination-race`: lasts only seconds.

## Confirm
- Compare the address in the log with the members that the platform lists.

## Fix
- Make the generator reload the proxy, and read the generator's log.

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
    message="the proxy still sends requests to a member that is gone: service discovery or its configuration generator lags behind",
    symptoms={Symptom.STALE_ENDPOINT: LIKELY},
)
