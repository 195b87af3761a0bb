"""An access rule or web application firewall of the proxy rejected the request.

Typical: 403 from a deny rule or a WAF, HAProxy PR, Envoy RBAC.

## Do not confuse with
- `rate-limited`: the request was rejected for its rate.

## Confirm
- The log line names the rule or its number.

## Fix
- Change the rule to allow legitimate requests.

## References
- https://nginx.org/en/docs/http/ngx_http_access_module.html
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="denied-by-rule",
    layer=Layer.PROXY,
    message="an access rule or web application firewall of the proxy rejected the request",
    symptoms={Symptom.DENIED_BY_RULE: 5.0},
)
