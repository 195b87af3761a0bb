"""The proxy itself refused by limit_req, limit_conn or the like.

503 by default (limit_req_status, limit_conn_status), with "limiting requests, excess" or "limiting connections by zone" at level error. It is the
configuration at work, not a failure of the backend.

## Confuse not with
- `upstream-error-status`: the application limits.
- `maintenance-response`: an unconditional 503.

## Confirm
- `nginx -T | grep -nE 'limit_(req|conn)'`

## Fix
- Raise rate or burst where real users are hit; answer 429 in place of 503 (limit_req_status 429).

## References
- https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="rate-limited",
    layer=Layer.PROXY,
    says="the proxy itself refused by limit_req, limit_conn or the like",
    symptoms={Symptom.RATE_LIMITED: PROOF},
)
