"""No local port is left for new connections to that target, usually for lack of keepalive.

Each connection to one address and port needs a local port of its own, and keeps it for a minute in TIME-WAIT after it was closed.
connect() then fails with EADDRNOTAVAIL (99): 502 at once.

## Confuse not with
- `proxy-bind-failed`: proxy_bind names an address that this machine does not have.

## Confirm
- `ss -Htan dst ADDRESS:PORT | wc -l` against `sysctl net.ipv4.ip_local_port_range`.

## Fix
- Keep connections open: `keepalive` in the upstream block, with HTTP/1.1 and an empty Connection header (default since nginx 1.29.7);
  or add peers or local addresses.

## References
- https://man7.org/linux/man-pages/man7/ip.7.html (ip_local_port_range, EADDRNOTAVAIL)
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    kernel = case.here.kernel
    if kernel and kernel.ports_first is not None and kernel.ports_last is not None and case.target is not None:
        room = kernel.ports_last - kernel.ports_first + 1
        used = kernel.ports_used.get(str(case.target), 0)
        if case.seen(Symptom.NO_LOCAL_PORT) and used:
            yield supports(
                f"{used} of {room} local ports are in use towards {case.target}", "ss -tan", STRONG if used > 0.8 * room else WEAK
            )
    if case.seen(Symptom.NO_LOCAL_PORT) and case.route and not case.route.keepalive:
        yield supports("no connection to this target is kept open", str(case.route.at or ""), WEAK)


CAUSE = Cause(
    id="ephemeral-ports-exhausted",
    layer=Layer.PROXY,
    says="no local port is left for new connections to that target, usually for lack of keepalive",
    symptoms={Symptom.NO_LOCAL_PORT: 5.0},
    examine=examine,
)
