"""worker_connections is too low for the load.

"N worker_connections are not enough": without request fields the new client was dropped; "while connecting to upstream" gives 500. Each proxied
request needs two connections of its worker.

## Confuse not with
- `proxy-loop`: the proxy eats its own connections.
- `too-many-open-files`: the limit of descriptors is the lower one.

## Confirm
- `ss -Htnp | grep -c nginx` against worker_connections times workers (512 by default, 768 in Debian's file).

## Fix
- Raise worker_connections, and worker_rlimit_nofile to at least twice that.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_connections
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.seen(Symptom.WORKER_CONNECTIONS):
        for proxy in case.proxies:
            if proxy.worker_connections is not None:
                yield supports(f"worker_connections is {proxy.worker_connections}", proxy.config, WEAK)
                break


def remedies(case: Case) -> Iterator[Remedy]:
    """Say which numbers belong together."""
    now = next((proxy.worker_connections for proxy in case.proxies if proxy.worker_connections), None)
    if now:
        yield Remedy(says=f"worker_connections {max(4096, 4 * now)}; and worker_rlimit_nofile {2 * max(4096, 4 * now) + 1024};")


CAUSE = Cause(
    id="worker-connections-exhausted",
    layer=Layer.PROXY,
    says="worker_connections is too low for the load",
    symptoms={Symptom.WORKER_CONNECTIONS: 5.0},
    yields_to=frozenset({"backend-hung", "proxy-loop"}),
    examine=examine,
    remedies=remedies,
)
