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
from why502.model.snapshot import Listener
from why502.model.target import Target, Transport

_SYMPTOMS = (Symptom.CONNECT_REFUSED, Symptom.CONNECT_TIMED_OUT, Symptom.HOST_UNREACHABLE)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target = case.target
    if target is None or target.is_unix or not case.network or not case.seen(*_SYMPTOMS):
        return
    if (listener := _elsewhere(case)) is not None:
        yield supports(_other_loopback(case, listener), "ss -ltnp", PROOF)
    if apart := _apart(case):
        yield supports(apart, "ip route", PROOF)


def _elsewhere(case: Case) -> Listener | None:
    """Return the listener that the proxy probably means by its own loopback address, where nothing listens: in a container beside
    it, on the host, or in another container.

    Any user may listen in a network namespace of their own, which does not count.
    """
    if case.target is None or not case.target.is_loopback or case.listeners != ():
        return None
    homes = case.joins.homes
    own = homes.spaces.get(case.network)
    owners = {0, own.owner_uid if own else 0}
    found = [
        one
        for one in case.joins.listeners_at(case.target.port)
        if one.network != case.network and (not one.network or homes.owner(one.network) in owners)
    ]

    def rank(one: Listener) -> tuple[bool, bool]:
        space = homes.spaces.get(one.network)
        is_beside = space is not None and any(
            homes.is_beside(case.network, Target(host=address, port=1)) for address in space.addresses
        )
        return (not is_beside, bool(one.network))

    return min(found, key=rank, default=None)


def _other_loopback(case: Case, listener: Listener) -> str:
    homes = case.joins.homes
    process = case.process_of(listener)
    where = "" if process and process.container_name else f" on {homes.name(listener.network)}"
    own = homes.name(case.network)
    return (
        f"in {own}, {case.target and case.target.host} is the container itself, where nothing listens on port "
        f"{case.target and case.target.port}; {case.name_of(listener)} listens on {listener.target}{where}"
    )


def _apart(case: Case) -> str:
    """Return a message that the target is a container without a network in common with the proxy's; "" if it has one."""
    homes = case.joins.homes
    if not case.home or case.target is None or case.shares_network or homes.is_beside(case.network, case.target) is not False:
        return ""
    message = (
        f"{case.target.host} is an address of {homes.name(case.home)} in a network that {homes.name(case.network)} is not in"
    )
    common = [
        address
        for address in homes.spaces[case.home].addresses
        if homes.is_beside(case.network, Target(host=address, port=1)) and not Target(host=address).is_loopback
    ]
    return f"{message}; in their common network it is {common[0]}" if common else message


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    if (listener := _elsewhere(case)) is not None:
        return _other_loopback(case, listener)
    return _apart(case)


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
    tell=tell,
    foresee=(loopback_in_container,),
)
