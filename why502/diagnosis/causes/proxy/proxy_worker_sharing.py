"""Two routes share one backend definition, and the settings of the first one apply to both.

Apache logs AH01146. It selects a worker by the longest common URL prefix, so the timeouts and keepalive settings of another ProxyPass apply.

## Do not confuse with
- `proxy-timeout-too-short`: the route's own setting is too short.

## Confirm
- Search the error log after a start: `grep AH01146`.

## Fix
- Order ProxyPass lines from the longest URL to the shortest. Set the same parameters on all lines that share a backend.

## References
- https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#workers
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-worker-sharing",
    layer=Layer.PROXY,
    message="two routes share one backend definition, and the settings of the first one apply to both",
    symptoms={Symptom.WORKER_SHARING: LIKELY},
)
