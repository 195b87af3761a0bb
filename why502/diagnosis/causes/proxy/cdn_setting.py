"""A setting at the CDN in front (TLS mode, origin rule, worker) makes the request fail.

Typical: a TLS mode that does not match the origin, an origin rule with another port, a worker that throws an exception (1101), a redirect loop
caused by Flexible TLS.

## Do not confuse with
- `tls-verify-failed`, `tls-handshake-failed`: the origin's certificate or protocol is wrong.

## Confirm
- Read the code on the CDN's error page. Send the same request directly to the origin.

## Fix
- Correct the setting at the CDN that the code names.

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
