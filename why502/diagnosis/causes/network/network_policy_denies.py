"""A firewall rule or NetworkPolicy drops what this gateway sends to this container or host.

Both ends are on this machine and in one network, and something listens on the port, yet the connection gets no answer. Nothing
but a firewall lies between them: a rule for what comes from containers (INPUT), a policy for what is forwarded (FORWARD), or the
engine's own rules that are gone since the firewall was loaded again. Without those of podman a published port takes connections
and never answers.

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

from why502.diagnosis import containers, firewall
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.container import KUBERNETES, Container
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.firewall import Verdict
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.target import Transport

MONITOR = "conmon"


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    reason, source = _dropped(case)
    if not reason and (held := _held(case)) is not None:
        yield supports(held[0], "ss -ltnp", 2 * PROOF)
    elif reason:
        yield supports(reason, source, 2 * PROOF)
        yield from firewall.evidence(case, Verdict.DROP, Verdict.REJECT)


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


def _held(case: Case) -> tuple[str, Container] | None:
    """Return that the rules which forward a published port are gone, and its container; None if they are not, or that is unknown.

    podman forwards by rules alone. Its monitor conmon(8) listens on the port so that nobody else does, and never accepts.
    """
    published = containers.publisher(case)
    if published is None or not case.seen(Symptom.READ_TIMED_OUT):
        return None
    container, port = published
    monitors = ((one, process) for one in case.listeners or () if (process := case.process_of(one)) is not None)
    waiting = sum(one.queued or 0 for one, process in monitors if process.name == MONITOR)
    if not waiting or not containers.serves(container, port):
        return None
    message = (
        f"the firewall rules that forward {case.target} to port {port} of {container.shown} are gone: {waiting} "
        f"connection{'s' if waiting > 1 else ''} wait{'s' if waiting == 1 else ''} at {MONITOR}, which only holds the port"
    )
    return message, container


def _is_of_machine(case: Case) -> bool:
    """Return whether the target is an address of the machine itself, as the proxy's container sees it."""
    return case.target is not None and case.home == "" and not case.target.is_loopback


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if (held := _held(case)) is not None:
        return held[0]
    reason, rule = _dropped(case)[0], _rule(case)
    return f"{reason}: {rule}" if reason and rule else reason


def _rule(case: Case) -> str:
    """Return the rule that surely stops the connections, in words; "" if none is known."""
    return firewall.describe(case, Verdict.DROP) or firewall.describe(case, Verdict.REJECT)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return what lets the connections through."""
    target, own = case.target, containers.proxy_container(case)
    if target is None or own is None or not _dropped(case)[0]:
        return
    if _is_of_machine(case):
        networks = ", ".join(sorted(own.networks))
        yield Remedy(message=f"allow port {target.port} from the network {networks} in the machine's firewall (chain INPUT)")
        return
    if any(stop.is_sure and stop.where for stop in firewall.stops(case)):
        yield Remedy(message=f"remove that rule, or accept connections to port {target.port} before it")
        return
    if own.engine == KUBERNETES:
        namespace = own.name.partition("/")[0]
        yield Remedy(message=f"look which policy denies it: `kubectl -n {namespace} get networkpolicies`")
        return
    yield _write_again(own)


def _write_again(container: Container) -> Remedy:
    """Return the command by which an engine writes its rules again."""
    again = "`systemctl restart docker`" if container.engine == "docker" else "`podman network reload --all`"
    return Remedy(
        message=f"if the firewall was loaded again, the rules of {container.engine} are gone: {again} writes them again"
    )


CAUSE = Cause(
    id="network-policy-denies",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="a NetworkPolicy or firewall rule drops traffic from this gateway to this pod or host",
    headline="a firewall drops what {proxy} sends to {target}",
    needs=frozenset({"containers"}),
    explains=frozenset(
        {
            "backend-hung",
            "backend-not-running",
            "backend-too-slow",
            "connect-timeout",
            "host-unreachable",
            "proxy-timeout-too-short",
            "workers-exhausted",
            "wrong-address",
            "wrong-port",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
