"""The local address that the proxy should connect from is not available or of another family.

proxy_bind names an address that this machine does not have (any more): "bind(…) failed (99: Cannot assign requested address)", 500.

## Confuse not with
- `ephemeral-ports-exhausted`: connect() says 99, not bind().

## Confirm
- `ip addr` against proxy_bind.

## Fix
- Name an address of this machine, or remove proxy_bind.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_bind
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-bind-failed",
    layer=Layer.PROXY,
    message="the local address that the proxy should connect from is not available or of another family",
    symptoms={Symptom.BIND_FAILED: PROOF},
)
