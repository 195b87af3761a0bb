"""A known defect of that gateway version.

## Confuse not with
- every other cause: exclude them first.

## Confirm
- The version against the project's issues and changelog.

## Fix
- Update.

## References
- https://nginx.org/en/CHANGES
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-bug",
    layer=Layer.PROXY,
    message="a known defect of that gateway version",
    symptoms={Symptom.PROXY_BUG: LIKELY, Symptom.PROXY_INTERNAL: FAIR},
)
