"""The local address that the proxy should connect from is not available, or belongs to another address family.

proxy_bind names an address that this machine does not have, or no longer has. nginx logs "bind(…) failed (99: Cannot assign requested
address)" and answers 500.

## Do not confuse with
- `ephemeral-ports-exhausted`: connect() fails with 99, not bind().

## Confirm
- Compare `ip addr` with proxy_bind.

## Fix
- Set proxy_bind to an address of this machine, or remove it.

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
    message="the local address that the proxy should connect from is not available, or belongs to another address family",
    symptoms={Symptom.BIND_FAILED: PROOF},
)
