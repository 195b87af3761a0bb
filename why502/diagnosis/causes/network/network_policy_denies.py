"""A firewall rule or NetworkPolicy drops what this gateway sends to this container or host.

Both ends are on this machine and in one network, and something listens on the port, yet the connection gets no answer. Nothing
but a firewall lies between them: a rule for what comes from containers (INPUT), a policy for what is forwarded (FORWARD), or the
engine's own rules that are gone since the firewall was loaded again.

## Do not confuse with
- `connect-timeout`: the same, but the other end is elsewhere, so the path may be at fault.
- `container-network-mismatch`: the containers share no network; the engine itself keeps them apart.

## Confirm
- `iptables-save -c` or `nft list ruleset` shows a rule or policy whose counter grows with each attempt. Without the chains DOCKER
  or NETAVARK the engine's own rules are gone.

## Fix
- Allow the port from the container network. If the engine's rules are gone, restart the engine (`systemctl restart docker`), or
  `podman network reload --all`: it writes them again.

## References
- https://docs.docker.com/engine/network/packet-filtering-firewalls/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.remedy import Remedy
from why502.model.target import Transport


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    told, source = _dropped(case)
    if told:
        yield supports(told, source, 2 * PROOF)


def _dropped(case: Case) -> tuple[str, str]:
    """Return why only a firewall can drop what the proxy's container sends, and the source of that fact; "" if unknown."""
    target, own = case.target, containers.proxy_container(case)
    if target is None or target.is_unix or own is None or not case.seen(*containers.NO_ANSWER):
        return "", ""
    if case.answers_now:
        return "", ""
    other = containers.at(case, target.host)
    if other is not None and containers.serves(other, target.port):
        place = next((one for one in containers.shared(other, own) if target.host in (one.address, one.address_v6)), None)
        if place is None:
            return "", ""
        message = (
            f"{other.shown} listens on port {target.port} and shares network {place.network} with {own.shown}, yet its "
            "connections get no answer: a firewall of this machine drops them"
        )
        return message, f"ss -ltn inside container {other.name}"
    if _is_of_machine(case) and containers.host_takes(case, target):
        message = (
            f"this machine listens on {target}, yet connections of {own.shown} get no answer: a firewall of this machine drops "
            "what comes from containers"
        )
        return message, "ss -ltn"
    return "", ""


def _is_of_machine(case: Case) -> bool:
    """Return whether the target is an address of the machine itself, as the proxy's container sees it."""
    return case.target is not None and case.home == "" and not case.target.is_loopback


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    return _dropped(case)[0]


def remedies(case: Case) -> Iterator[Remedy]:
    """Return what lets the connections through."""
    target, own = case.target, containers.proxy_container(case)
    if target is None or own is None or not _dropped(case)[0]:
        return
    if _is_of_machine(case):
        networks = ", ".join(sorted(own.networks))
        yield Remedy(message=f"allow port {target.port} from the network {networks} in the machine's firewall (chain INPUT)")
        return
    again = "`systemctl restart docker`" if own.engine == "docker" else "`podman network reload --all`"
    yield Remedy(message=f"if the firewall was loaded again, the rules of {own.engine} are gone: {again} writes them again")


CAUSE = Cause(
    id="network-policy-denies",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="a NetworkPolicy or firewall rule drops traffic from this gateway to this pod or host",
    headline="a firewall drops what {proxy} sends to {target}",
    needs=frozenset({"containers"}),
    explains=frozenset({"backend-not-running", "connect-timeout", "host-unreachable", "wrong-address", "wrong-port"}),
    examine=examine,
    tell=tell,
    remedies=remedies,
)
