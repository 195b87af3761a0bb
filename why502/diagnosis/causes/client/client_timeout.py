"""The client sent or read too slowly.

408, or a closed connection; "client timed out while …" at level info.

## Confuse not with
- `client-closed-request`: it left by itself.

## Confirm
- client_header_timeout, client_body_timeout, send_timeout (60 s each).

## Fix
- None on the server, where the limits are the usual ones.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#client_body_timeout
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="client-timeout",
    layer=Layer.CLIENT,
    message="the client sent or read too slowly",
    symptoms={Symptom.CLIENT_TIMED_OUT: 5.0},
)
