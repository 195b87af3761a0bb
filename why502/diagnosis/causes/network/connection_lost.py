"""An established connection went silent: the host is gone, or a NAT or firewall dropped its state.

nginx logs "recv() failed (110: Connection timed out)" and answers 502. Retransmissions stayed unanswered until the kernel gave up. This is not
the proxy's own timer.

## Do not confuse with
- `connect-timeout`: the connection was never established.
- `backend-too-slow`: the proxy's own timer expired (504).

## Confirm
- `tcpdump` shows retransmissions without an answer. Check the idle timeouts of NAT gateways and firewalls on the path (often 350 s or 5 min).

## Fix
- Set `proxy_socket_keepalive on` with short kernel intervals, and a keepalive_timeout shorter than the firewall's idle timeout.

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
