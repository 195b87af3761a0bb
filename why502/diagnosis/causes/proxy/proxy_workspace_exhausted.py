"""The proxy's memory for a request, or its header workspace, is used up.

Varnish: "overflow", workspace_backend, http_resp_hdr_len; HAProxy: tune.bufsize.

## Confuse not with
- `response-header-too-big`: one header line or buffer.

## Confirm
- varnishstat: ws_backend_overflow, ws_client_overflow.

## Fix
- Raise workspace_backend, http_resp_size, or send fewer headers.

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
