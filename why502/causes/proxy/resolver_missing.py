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

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="resolver-missing",
    layer=Layer.PROXY,
    says="the target holds a variable and no resolver is configured",
    symptoms={Symptom.NO_RESOLVER: PROOF},
)
