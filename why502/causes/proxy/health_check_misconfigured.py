"""The members are fine and the health check says no: path, host, port, expected code, timing.

All members are out although a direct request succeeds.

## Confuse not with
- `all-upstreams-down`: the direct request fails too.

## Confirm
- Send exactly what the check sends (path, Host, method, protocol) straight to a member.

## Fix
- Correct the check: the path, the Host header, the expected status, the port; open the firewall for its source addresses.

## References
- https://docs.haproxy.org/2.6/configuration.html#4.2-option%20httpchk
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import LIKELY, WEAK, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="health-check-misconfigured",
    layer=Layer.PROXY,
    says="the members are fine and the health check says no: path, host, port, expected code, timing",
    symptoms={Symptom.HEALTH_CHECK_STATUS: LIKELY, Symptom.HEALTH_CHECK_FAILED: WEAK},
)
