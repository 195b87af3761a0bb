"""SELinux denied the proxy's connection.

nginx runs in the domain httpd_t. Unless a boolean is set, it may connect only to ports with certain labels and to unix sockets of
certain types. The log shows "(13: Permission denied)" although the file modes are right.

## Do not confuse with
- `unix-socket-permission`: the file modes deny access, and there is no AVC line.
- `apparmor-denied`: AppArmor denied access. Its log lines contain apparmor="DENIED".

## Confirm
- `ausearch -m avc -c nginx -ts recent` shows the denial; `getenforce` shows Enforcing.

## Fix
- TCP: `setsebool -P httpd_can_network_connect 1`, or label the port (`semanage port -a -t http_port_t -p tcp PORT`). Unix socket:
  label its directory with the type httpd_var_run_t (`semanage fcontext`, `restorecon`). Do not disable SELinux.

## References
- https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/using_selinux/index
- https://man7.org/linux/man-pages/man8/ausearch.8.html
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, LIKELY, PROOF, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy, Run

REJECTED = 13  # EACCES: the kernel also returns it for ICMPv6 "administratively prohibited" (net/ipv6/icmp.c)
NOT_PERMITTED = 1  # EPERM: sent by a packet filter for outgoing packets; SELinux answers EACCES
SHARED = (
    "/run",
    "/var/run",
    "/tmp",
    "/var/tmp",
    "/var/lib",
    "/dev/shm",
    "/",
)  # directories that many programs share: never label one as a whole


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    denied = list(case.anywhere(Symptom.SELINUX_DENIED)) if case.target is not None or case.offline else []
    events = [e for snapshot in case.machines for e in snapshot.events or () if e.symptom is Symptom.SELINUX_DENIED]
    if case.seen(Symptom.CONNECT_DENIED):
        refusal = case.tally(Symptom.CONNECT_DENIED)
        if case.target is not None and not case.target.is_unix and (refusal is None or refusal.errno != NOT_PERMITTED):
            yield supports(
                "permission denied on a TCP connection: file modes do not apply there, only a security policy does", "", FAIR
            )
        for tally in denied[:1]:
            yield supports("an SELinux denial was logged at the same time", tally.source, PROOF)
        for event in events[:1]:
            yield supports(event.message, event.source, PROOF)
        own = next((probe for probe in case.probes if probe.symptom is Symptom.CONNECT_DENIED and probe.errno == REJECTED), None)
        if own is not None and not denied and not events and not (case.target and case.target.is_unix):
            yield refutes(
                "a connection from this process, which is in another domain, is refused in the same way", "probe", PROOF
            )
        modules = case.here.kernel.security_modules if case.here.kernel else None
        if modules is not None and "selinux" not in modules:
            yield refutes("SELinux is not active in this kernel", "/sys/kernel/security/lsm", PROOF)


def remedies(case: Case) -> Iterator[Remedy]:
    """Set the boolean that lets the proxy connect, or label the port.

    Label the socket, and its directory if the directory holds only that socket.
    """
    target = case.target
    if target is None:
        return
    if not target.is_unix:
        boolean = ("setsebool", "-P", "httpd_can_network_connect")
        steps = (Run(argv=(*boolean, "1"), undo=(*boolean, "0")),)
        yield Remedy(message="allow the web server to connect to network ports", steps=steps, is_policy=True)
        port = ("-p", "tcp", str(target.port))
        label = Run(argv=("semanage", "port", "-a", "-t", "http_port_t", *port), undo=("semanage", "port", "-d", *port))
        yield Remedy(message=f"label port {target.port} as a web port (http_port_t)", steps=(label,), is_policy=True)
        return
    directory = posixpath.dirname(target.path)
    what = target.path if directory in SHARED else directory
    spec = re.escape(what).replace(r"\-", "-") + ("" if what == target.path else "(/.*)?")
    rule = ("semanage", "fcontext")
    yield Remedy(
        message=f"label {what} for use by web servers (httpd_var_run_t)",
        steps=(
            Run(argv=(*rule, "-a", "-t", "httpd_var_run_t", spec), undo=(*rule, "-d", spec)),
            Run(argv=("restorecon", "-R", what), undo=("restorecon", "-R", what)),
        ),
        is_policy=True,
    )


CAUSE = Cause(
    id="selinux-denied",
    layer=Layer.PLATFORM,
    message="SELinux denied the proxy's connection",
    headline="SELinux denied {proxy} access to {target}",
    symptoms={Symptom.CONNECT_DENIED: FAIR, Symptom.SELINUX_DENIED: LIKELY},
    explains=frozenset({"all-upstreams-down", "connect-rejected", "proxy-temp-unwritable"}),
    examine=examine,
    remedies=remedies,
)
