"""The application listens on another address or address family than the proxy connects to.

Typical: the application binds 127.0.0.1, but the proxy connects to `localhost`, which is also ::1. Or the application binds only
one interface, or only IPv6. If a name has two addresses, nginx uses both in turn. Some requests succeed, and the log shows
refused connections to the other address.

## Do not confuse with
- `wrong-port`: the application listens on another port.
- `container-network-mismatch`: inside a container 127.0.0.1 is the container itself.

## Confirm
- `ss -Hltn 'sport = :PORT'` shows the port on another address than the one in the log line.

## Fix
- Use the address on which the application listens (`127.0.0.1` instead of `localhost`), or make it listen on both address
  families.

## References
- nginx: src/core/ngx_inet.c, ngx_inet_resolve_host (all A and AAAA addresses are used)
- https://man7.org/linux/man-pages/man7/ipv6.7.html (IPV6_V6ONLY)
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.listening import accepts
from why502.model.container import Container, is_pool_address
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Transport
from why502.remedies.changes import doubt, reload, set_peer_addresses

NO_SUCH_FAMILY = 97  # EAFNOSUPPORT


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    denied = case.tally(Symptom.SOCKET_DENIED)
    if denied and denied.errno == NO_SUCH_FAMILY:
        message = (
            "this machine cannot create sockets of that address family (97), "
            "for example if IPv6 is off and the name resolves to ::1"
        )
        yield supports(message, denied.source, LIKELY)
    target = case.target
    lost = case.tally(Symptom.NO_LOCAL_PORT)
    if lost and target is not None and ":" in target.host and not case.lacks_family:
        yield supports("the target is an IPv6 address, but this machine has none to connect from (99)", lost.source, LIKELY)
    if lost and case.lacks_family:
        yield refutes(
            "this machine has no IPv6 address at all, so no address of the application's would help", "ip -6 addr", 2 * PROOF
        )
    if target is not None and (nobody := _of_nobody(case)) is not None and case.seen(*containers.NO_CONNECTION):
        yield supports(_nobody_words(case, *nobody), nobody[0].shows("inspect"), PROOF)
    if target is None or target.is_unix or not case.seen(*CAUSE.symptoms):
        return
    if target.is_wildcard and case.listeners is None:
        yield supports(
            f"{target.host} is an address for listening; a connection to it reaches only this machine or container", "", STRONG
        )
    for tally in case.words(Symptom.LISTENS_ON):
        heard = tally.target
        if heard and heard.port == target.port and not accepts(heard, target) and case.listeners is None:
            yield supports(f"the application reports that it listens on {heard}", tally.source, STRONG)
            break
    if case.listeners != ():
        return
    for listener in case.same_port[:1]:
        process = case.process_of(listener)
        name = f"{process.name} (pid {process.pid})" if process else "an application"
        yield supports(f"{name} listens on {listener.target}, but the proxy connects to {target}", "ss -ltnp", PROOF)
    if (moved := _moved_to_socket(case)) is not None:
        service, listener = moved
        message = f"{service.name}, which belongs on {target}, listens on {listener.target} instead"
        yield supports(message, "ss -lxp", 2 * PROOF)


def _of_nobody(case: Case) -> tuple[Container, str] | None:
    """Return the only container beside the proxy's that serves the target's port, and its address, if the configuration has an
    address of an engine's range that no container and no network of the proxy has; else None.
    """
    target, own = case.target, containers.proxy_container(case)
    if target is None or own is None or target not in case.joins.configured or not is_pool_address(target.host):
        return None
    space = next((one for one in case.here.networks or () if one.inode == own.network), None)
    networks = [ip_network(each, strict=False) for each in (space.subnets.values() if space else ())]
    if not networks or any(ip_address(target.host) in each for each in networks) or containers.at(case, target.host):
        return None
    if target.host in (case.here.addresses or ()):
        return None
    found = [
        (one, places[0].address)
        for one in containers.trusted(case)
        if one.is_running and one != own and containers.serves(one, target.port) and (places := containers.shared(one, own))
    ]
    return found[0] if len(found) == 1 else None


def _nobody_words(case: Case, container: Container, address: str) -> str:
    host = case.target.host if case.target else ""
    port = case.target.port if case.target else 0
    return f"no container and no network of the proxy has {host}; {container.shown} serves port {port} at {address}"


def _moved_to_socket(case: Case) -> tuple[Service, Listener] | None:
    """Return the running service of the target that listens on a unix socket instead, and that socket; None if there is none, or
    if it also listens on a port.
    """
    for service in case.services:
        if not service.is_running or service.main_pid is None or case.host is None or _has_answered(case, service):
            continue
        pids = {service.main_pid, *(process.pid for process in case.host.processes or () if process.ppid == service.main_pid)}
        own = [listener for listener in case.host.listeners or () if pids & set(listener.pids)]
        if own and all(listener.target.is_unix for listener in own):
            return service, own[0]
    return None


def _has_answered(case: Case, service: Service) -> bool:
    """Return whether the target answered during the service's current run, or the service only starts others: then its sockets
    are not the application's new address.
    """
    answered = case.last_answered
    is_manager = any(other.manager_unit == service.name for other in (case.host.services if case.host else None) or ())
    return is_manager or bool(answered and service.started_at and service.started_at < answered)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    product = case.proxy.kind if case.proxy else "the proxy"
    listener = next(iter(case.same_port), None)
    if listener is None and (nobody := _of_nobody(case)) is not None:
        return f"{product} connects to {case.target}: {_nobody_words(case, *nobody)}"
    if listener is None and case.listeners == () and (moved := _moved_to_socket(case)) is not None:
        return f"{product} connects to {case.target}; {moved[0].name} listens on {moved[1].target} instead"
    return f"{product} connects to {case.target}; {case.name_of(listener)} listens only on {listener.target}" if listener else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the address on which the application listens, or one that the proxy reaches."""
    if (nobody := _of_nobody(case)) is not None:
        container, address = nobody
        yield Remedy(message=f"use the name of {container.shown} instead of an address: now it has {address}")
    for listener in case.same_port[:1]:
        if listener.target.is_loopback and not case.shares_network:
            yield Remedy(message=_open(case, listener))
            continue
        changes = set_peer_addresses(case, listener.target)
        message = f"let the proxy connect to {listener.target}{doubt(case, listener.target)}"
        yield Remedy(message=message, steps=(*changes, *reload(case.proxy)) if changes else ())


def _open(case: Case, listener: Listener) -> str:
    """Return the change of an application that only its own container or machine reaches: the proxy is elsewhere."""
    if not listener.network:
        return f"let the application listen on {case.target}: only programs of its own machine reach {listener.target}"
    where = case.joins.homes.name(listener.network)
    return f"let the application listen on 0.0.0.0:{listener.target.port} in {where}: only that reaches {listener.target}"


@rule(27, "localhost-target", Severity.NOTE)
def localhost_target(deployment: Deployment) -> Iterator[Risk]:
    """A target is named `localhost`, which may be two addresses: 127.0.0.1 and ::1.

    nginx makes a group of both addresses and sends requests to each in turn. If the application listens on only one of them,
    every second request causes a failed attempt and an error line, and nginx marks that address as failed.
    """
    seen = set()
    for route, peer, name in deployment.named_peers:
        if name == "localhost" and peer.at not in seen and not route.has_variables:
            seen.add(peer.at)
            yield risk(f"{peer.name} may be 127.0.0.1 and ::1", peer.at, "write the address that the application listens on")


@rule(28, "wildcard-target", Severity.WARNING)
def wildcard_target(deployment: Deployment) -> Iterator[Risk]:
    """A target is 0.0.0.0 or [::], an address for listening, not for connecting.

    Linux treats it as loopback. Other systems and network policies reject it.
    """
    seen = set()
    for _, peer, target in deployment.local_peers:
        if target.is_wildcard and peer.at not in seen:
            seen.add(peer.at)
            yield risk(f"{peer.name} is not an address to connect to", peer.at, "write 127.0.0.1, or the machine's address")


CAUSE = Cause(
    id="wrong-address",
    layer=Layer.PROXY,
    transport=Transport.TCP,
    message="the application listens on another address or address family than the proxy connects to (localhost as ::1, "
    "a bind to one interface)",
    symptoms={Symptom.CONNECT_REFUSED: WEAK, Symptom.HOST_UNREACHABLE: WEAK, Symptom.CONNECT_TIMED_OUT: WEAK},
    needs=frozenset({"listeners"}),
    explains=frozenset({"backend-not-running", "connect-timeout", "host-unreachable", "wrong-port"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        localhost_target,
        wildcard_target,
    ),
)
