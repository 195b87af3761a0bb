"""An upgraded connection was idle for longer than the proxy's read or send timeout.

proxy_read_timeout (60 s) counts between two reads on an upgraded connection too; the line is at level info, the status stays 101.

## Confuse not with
- `backend-too-slow`: no upgrade took place.

## Confirm
- Sessions that all last exactly the timeout after the last message.

## Fix
- Pings from the application in a shorter interval, or a longer proxy_read_timeout on that route.

## References
- https://nginx.org/en/docs/http/websocket.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="websocket-idle-timeout",
    layer=Layer.PROXY,
    says="an upgraded connection was idle for longer than the proxy's read or send timeout",
    symptoms={Symptom.UPGRADED_TIMED_OUT: LIKELY},
)
