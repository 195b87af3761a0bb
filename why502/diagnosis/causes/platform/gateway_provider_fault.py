"""A fault of the cloud or CDN provider itself.

The gateway's own infrastructure failed: an internal code in its log, an incident on its status page, nothing at the origin.

## Confuse not with
- `cdn-setting`: the customer's own setting.

## Confirm
- The provider's status page at that time; the origin's log has no such request.

## Fix
- Wait, or move traffic; open a case with the request ids.

## References
- https://www.cloudflarestatus.com/
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="gateway-provider-fault",
    layer=Layer.PLATFORM,
    message="a fault of the cloud or CDN provider itself",
    symptoms={Symptom.PROVIDER_FAULT: LIKELY},
)
