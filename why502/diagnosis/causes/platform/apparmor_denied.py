"""AppArmor denied access to the proxy or the backend.

If an address family is denied, socket() fails ("socket() failed (13: Permission denied)", status 500 in nginx). If a file or
socket path is denied, the error is EACCES although the file modes are right.

## Do not confuse with
- `unix-socket-permission`: the file modes deny access.
- `selinux-denied`: SELinux denied access, not AppArmor.

## Confirm
- `journalctl -k -g apparmor=` or `ausearch -m avc` shows lines with apparmor="DENIED" and the proxy's profile.

## Fix
- Add the missing rule to the profile (local override in /etc/apparmor.d/local/), then run `apparmor_parser -r PROFILE`. Do not
  disable the profile.

## References
- https://man7.org/linux/man-pages/man7/capabilities.7.html
- https://gitlab.com/apparmor/apparmor/-/wikis/Documentation
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom

NO_SUCH_FAMILY = 97  # EAFNOSUPPORT


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(Symptom.SOCKET_DENIED, Symptom.CONNECT_DENIED, Symptom.TEMP_DENIED):
        return
    denied = case.tally(Symptom.SOCKET_DENIED)
    if denied and denied.errno == NO_SUCH_FAMILY:
        yield refutes("the kernel does not support the address family (97); a denial would be error 13", denied.source, STRONG)
    for tally in case.anywhere(Symptom.APPARMOR_DENIED)[:1]:
        yield supports("an AppArmor denial was logged at the same time", tally.source, PROOF)
    for event in [e for snapshot in case.machines for e in snapshot.events or () if e.symptom is Symptom.APPARMOR_DENIED][:1]:
        yield supports(event.message, event.source, PROOF)
    modules = case.here.kernel.security_modules if case.here.kernel else None
    if modules is not None and "apparmor" not in modules:
        yield refutes("AppArmor is not active in this kernel", "/sys/kernel/security/lsm", PROOF)


CAUSE = Cause(
    id="apparmor-denied",
    layer=Layer.PLATFORM,
    message="AppArmor denied the proxy's or the backend's access",
    headline="AppArmor denied access to {target}",
    symptoms={Symptom.SOCKET_DENIED: LIKELY, Symptom.APPARMOR_DENIED: LIKELY},
    explains=frozenset({"all-upstreams-down", "proxy-temp-unwritable"}),
    examine=examine,
)
