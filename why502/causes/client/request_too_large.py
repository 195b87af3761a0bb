"""The request exceeds a limit of the proxy: body (413), header or URI (400, 414, 431, 494).

"client intended to send too large body", "client sent too large header line", "too long URI".

## Confuse not with
- `request-header-too-big`: the backend's limit.

## Confirm
- The limit in the configuration: client_max_body_size (1 MiB by default), large_client_header_buffers (4 × 8 KiB).

## Fix
- Raise the limit on the route that takes uploads.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="request-too-large",
    layer=Layer.CLIENT,
    says="the request exceeds a limit of the proxy: body (413), header or URI (400, 414, 431, 494)",
    symptoms={Symptom.REQUEST_TOO_LARGE: PROOF},
)
