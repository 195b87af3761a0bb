"""An established connection died without a word: host gone, a NAT or firewall forgot it.

"recv() failed (110: Connection timed out)", 502 (the kernel gave up, not the proxy's timer): retransmissions stayed unanswered.

## Confuse not with
- `connect-timeout`: the connection never stood.
- `backend-too-slow`: the proxy's own timer (504).

## Confirm
- `tcpdump` shows retransmissions without answer; idle limits of NAT and firewalls between the two (often 350 s or 5 min).

## Fix
- proxy_socket_keepalive on with short kernel intervals; a shorter keepalive_timeout than the firewall's idle limit.

## References
- https://man7.org/linux/man-pages/man7/tcp.7.html (tcp_retries2)
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="connection-lost",
    layer=Layer.NETWORK,
    message="an established connection went silent: host gone, or NAT or firewall state expired",
    symptoms={Symptom.CONNECTION_DIED: LIKELY},
)
