"""Two routes share one backend definition and the settings of the first one win.

Apache AH01146: a worker is chosen by the longest common URL prefix, so timeouts and keepalive of another ProxyPass apply.

## Confuse not with
- `proxy-timeout-too-short`: the route's own setting.

## Confirm
- `grep AH01146` in the error log at start.

## Fix
- Order ProxyPass from the longest URL to the shortest; set the parameters on all that share.

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
    message="two routes share one backend definition and the settings of the first one win",
    symptoms={Symptom.WORKER_SHARING: LIKELY},
)
