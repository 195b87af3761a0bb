"""A setting at the CDN in front (TLS mode, origin rule, worker) makes the request fail.

A TLS mode that does not fit the origin, an origin rule with another port, a worker that throws (1101), a redirect loop of Flexible TLS.

## Confuse not with
- `tls-verify-failed`, `tls-handshake-failed`: the origin's certificate or protocol.

## Confirm
- The code on the CDN's page; the same request straight to the origin.

## Fix
- At the CDN: the setting that the code names.

## References
- https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="cdn-setting",
    layer=Layer.PROXY,
    message="a setting at the CDN in front (TLS mode, origin rule, worker) makes the request fail",
    symptoms={Symptom.CDN_SETTING: LIKELY},
)
