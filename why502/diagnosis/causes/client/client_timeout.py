"""The client sent its request or read the response too slowly.

The client gets 408 or a closed connection. nginx logs "client timed out while …" at level info.

## Do not confuse with
- `client-closed-request`: the client closed the connection itself.

## Confirm
- Compare the duration with client_header_timeout, client_body_timeout and send_timeout (60 s each by default).

## Fix
- If the limits have their default values, there is nothing to fix on the server.

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
