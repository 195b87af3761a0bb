"""The request itself is malformed, and the proxy rejects it.

Typical: 400 with "client sent invalid method", plain HTTP sent to a TLS port (497), a missing Host header, ALB 463.

## Do not confuse with
- `request-too-large`: the request is well-formed but exceeds a limit.

## Confirm
- The error log has a line about the request at level info.

## Fix
- Fix the client. Requests from scanners and port probes are harmless.

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
