"""An access rule or firewall of the proxy answered.

403 by deny, a WAF, HAProxy PR, Envoy RBAC.

## Confuse not with
- `rate-limited`: by rate, not by rule.

## Confirm
- The rule's name or number in the log line.

## Fix
- Allow what is legitimate.

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
    message="an access rule or firewall of the proxy answered",
    symptoms={Symptom.DENIED_BY_RULE: 5.0},
)
