"""The proxy and the container share no network, or the wrong one is used (127.0.0.1 inside of a container is the container).

Refused (loopback of the container), or a connect timeout (another bridge).

## Confuse not with
- `wrong-address`: the same on one machine without containers.

## Confirm
- `docker inspect -f '{{json .NetworkSettings.Networks}}' A B`: a network in common?

## Fix
- Put both on one network and use the service's name; for a backend on the host: host.docker.internal or the bridge's address.

## References
- https://docs.docker.com/engine/network/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    target, proxy = case.target, case.proxy
    if target is None or proxy is None or not proxy.network or not case.seen(Symptom.CONNECT_REFUSED, Symptom.CONNECT_TIMED_OUT):
        return
    if target.is_loopback and not target.is_unix and case.listeners == ():
        elsewhere = [x for x in case.here.listeners or () if x.target.port == target.port and x.network != proxy.network]
        for listener in elsewhere[:1]:
            yield supports(f"{listener.target} is listened on in another network namespace than the proxy's", "ss -ltnp", PROOF)


CAUSE = Cause(
    id="container-network-mismatch",
    layer=Layer.NETWORK,
    says="the proxy and the container share no network, or the wrong one is used (127.0.0.1 inside of a container is the container)",
    symptoms={Symptom.CONNECT_REFUSED: 0.1},
    examine=examine,
)
