"""The target, built from variables, is unusable: bad scheme, port or URI, unknown named location.

"invalid URL prefix", "invalid port in upstream", "could not find named location": 500.

## Confuse not with
- `resolver-missing`, `dns-host-not-found`: the form is right.

## Confirm
- Log the variable (`log_format … $backend`).

## Fix
- Give the variable a value in every case (map with default), with scheme and port.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-target-invalid",
    layer=Layer.PROXY,
    says="the target, built from variables, is unusable: bad scheme, port or URI, unknown named location",
    symptoms={Symptom.TARGET_INVALID: PROOF},
)
