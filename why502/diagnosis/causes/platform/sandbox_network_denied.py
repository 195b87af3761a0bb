"""A sandbox (systemd, snap, seccomp) denies the proxy a socket.

RestrictAddressFamilies=, IPAddressDeny=, PrivateNetwork= or a seccomp filter: socket() or connect() fails with EPERM, EACCES or EAFNOSUPPORT, and no file
mode or firewall explains it.

## Confuse not with
- `selinux-denied`, `apparmor-denied`: their denials are logged.

## Confirm
- `systemctl show -p RestrictAddressFamilies,IPAddressDeny,PrivateNetwork UNIT`

## Fix
- Allow the family or address in a drop-in of the unit.

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
