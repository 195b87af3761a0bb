"""The request itself is malformed and refused.

400 "client sent invalid method", plain HTTP to a TLS port (497), a missing Host header, ALB 463.

## Confuse not with
- `request-too-large`: well-formed and over a limit.

## Confirm
- The line in the error log at level info.

## Fix
- In the client. Scanners and port probes are harmless.

## References
- RFC 9112, 3
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="client-bad-request",
    layer=Layer.CLIENT,
    message="the request itself is malformed and was rejected",
    symptoms={Symptom.CLIENT_BAD_REQUEST: 5.0},
)
