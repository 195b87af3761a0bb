"""The proxy and the container share no network, or the wrong one is used (127.0.0.1 inside a container is the container itself).

The connection is refused (loopback of the proxy's own container) or times out (another bridge).

## Do not confuse with
- `wrong-address`: the same problem on one machine without containers.

## Confirm
- `docker inspect -f '{{json .NetworkSettings.Networks}}' A B` shows whether they have a network in common.

## Fix
- Put both on one network and use the service name. For a backend on the host, use host.docker.internal or the bridge's address.

## References
- https://docs.docker.com/engine/network/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.target import Transport


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target, proxy = case.target, case.proxy
    if target is None or proxy is None or not proxy.network or not case.seen(Symptom.CONNECT_REFUSED, Symptom.CONNECT_TIMED_OUT):
        return
    if target.is_loopback and not target.is_unix and case.listeners == ():
        elsewhere = [x for x in case.here.listeners or () if x.target.port == target.port and x.network != proxy.network]
        for listener in elsewhere[:1]:
            yield supports(
                f"{listener.target} has a listener in a different network namespace than the proxy's", "ss -ltnp", PROOF
            )


@rule(29, "loopback-in-container", Severity.NOTE)
def loopback_in_container(deployment: Deployment) -> Iterator[Risk]:
    """A proxy in a container passes to 127.0.0.1, which is the container itself.

    Docker's name server (127.0.0.11) shows that the proxy runs in a container. Unless the application runs in the same
    container, nothing listens there, and the connection is refused.
    """
    ports = {target.port for target in deployment.configuration.listens}
    seen = set()
    for route in deployment.routes:
        if not any(word.partition(":")[0] == "127.0.0.11" for word in route.resolver) or route.has_variables:
            continue
        for peer in route.peers:
            target = peer.target
            if target and target.is_loopback and not target.is_unix and target.port not in ports and peer.at not in seen:
                seen.add(peer.at)
                yield risk(f"{peer.name} is the proxy's own container", peer.at, "name the application's container or service")


CAUSE = Cause(
    id="container-network-mismatch",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="the proxy and the container share no network, or the wrong one is used (127.0.0.1 inside a container is the "
    "container itself)",
    symptoms={Symptom.CONNECT_REFUSED: 0.1},
    explains=frozenset({"backend-not-running", "connect-timeout", "host-unreachable", "wrong-address"}),
    examine=examine,
    foresee=(loopback_in_container,),
)
