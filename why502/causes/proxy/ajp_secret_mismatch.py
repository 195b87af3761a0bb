"""The AJP secret is missing or wrong.

Tomcat since 9.0.31 demands secretRequired: it answers 403 or closes; Apache says 503, AH00992.

## Confuse not with
- `premature-close`: any other close.

## Confirm
- `secret=` of ProxyPass against `secret=` of the Connector.

## Fix
- Set the same secret on both (Apache 2.4.42 or newer).

## References
- https://tomcat.apache.org/tomcat-9.0-doc/config/ajp.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="ajp-secret-mismatch",
    layer=Layer.PROXY,
    says="the AJP secret is missing or wrong",
    symptoms={Symptom.SECRET_MISMATCH: LIKELY},
)
