"""The cloud or CDN provider itself has a fault.

The gateway's own infrastructure failed. Its log has an internal code, its status page may report an incident, and the origin shows no error.

## Do not confuse with
- `cdn-setting`: a setting of the customer is wrong.

## Confirm
- The provider's status page reports an incident at that time. The origin's log does not contain the request.

## Fix
- Wait, or move traffic elsewhere. Open a support case with the request ids.

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
