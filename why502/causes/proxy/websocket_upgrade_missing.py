"""The proxy does not pass Upgrade and Connection on, so the WebSocket handshake fails.

The two headers are hop-by-hop: the backend sees a plain GET and answers 400, 404 or 426.

## Confuse not with
- `websocket-idle-timeout`: the handshake worked.

## Confirm
- `curl -si -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' URL` answers other than 101.

## Fix
- `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;` with the map for it.

## References
- https://nginx.org/en/docs/http/websocket.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="websocket-upgrade-missing",
    layer=Layer.PROXY,
    says="the proxy does not pass Upgrade and Connection on, so the WebSocket handshake fails",
    symptoms={Symptom.UPGRADE_REFUSED: LIKELY},
)
