"""The proxy's memory for a request, or its header workspace, is used up.

Varnish logs "overflow"; the limits are workspace_backend and http_resp_hdr_len. In HAProxy the limit is tune.bufsize.

## Do not confuse with
- `response-header-too-big`: the response header exceeds one buffer.

## Confirm
- `varnishstat` shows ws_backend_overflow and ws_client_overflow above 0.

## Fix
- Raise workspace_backend or http_resp_size, or send fewer headers.

## References
- https://varnish-cache.org/docs/7.1/reference/varnishd.html
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-workspace-exhausted",
    layer=Layer.PROXY,
    message="the proxy's memory for a request, or its header workspace, is used up",
    symptoms={Symptom.WORKSPACE: 5.0},
)
