"""This version of the gateway has a known bug.

## Do not confuse with
- every other cause: rule them out first.

## Confirm
- Look up the version in the project's issue tracker and changelog.

## Fix
- Update the gateway.

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
    message="a known bug in this version of the gateway",
    symptoms={Symptom.PROXY_BUG: LIKELY, Symptom.PROXY_INTERNAL: FAIR},
)
