"""A sandbox (systemd, snap, seccomp) denies the proxy a socket.

RestrictAddressFamilies=, IPAddressDeny=, PrivateNetwork= or a seccomp filter makes socket() or connect() fail with EPERM, EACCES or
EAFNOSUPPORT. No file mode or firewall explains the error.

## Do not confuse with
- `selinux-denied`, `apparmor-denied`: these denials are logged.

## Confirm
- `systemctl show -p RestrictAddressFamilies,IPAddressDeny,PrivateNetwork UNIT` shows the restriction.

## Fix
- Allow the address family or address in a drop-in for the unit.

## References
- https://www.freedesktop.org/software/systemd/man/systemd.exec.html#RestrictAddressFamilies=
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, WEAK, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="sandbox-network-denied",
    layer=Layer.PLATFORM,
    message="a sandbox (systemd, snap, seccomp) denies the proxy a socket",
    symptoms={Symptom.SANDBOX_DENIED: PROOF, Symptom.SOCKET_DENIED: WEAK},
    explains=frozenset({"all-upstreams-down", "apparmor-denied"}),
)
