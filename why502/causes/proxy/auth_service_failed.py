"""The authentication or authorisation subrequest failed or answered with another status than it may.

auth_request takes 2xx, 401 and 403; anything else is 500 ("auth request unexpected status"). ALB 561, Envoy UAEX.

## Confuse not with
- the causes of the auth backend's own failure: they stand beside this one.

## Confirm
- The subrequest's own line (`subrequest: "/auth"`).

## Fix
- Repair the auth service; let it answer 401 or 403.

## References
- https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="auth-service-failed",
    layer=Layer.PROXY,
    says="the authentication or authorisation subrequest failed or answered with another status than it may",
    symptoms={Symptom.AUTH_FAILED: 5.0},
)
