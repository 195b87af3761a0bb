"""The proxy and the container share no network, or the wrong one is used (127.0.0.1 inside a container is the container itself).

The connection is refused (loopback of the proxy's own container) or times out (another bridge). A systemd unit with
PrivateNetwork=yes is alone in its network in the same way: what it listens on cannot be reached from the machine.

## Do not confuse with
- `wrong-address`: the same problem on one machine without containers.

## Confirm
- `docker inspect -f '{{json .NetworkSettings.Networks}}' A B` shows whether they have a network in common.

## Fix
- Put both on one network and use the service name. For a backend on the host, use host.docker.internal or the bridge's address.
- For a unit with PrivateNetwork=yes, use a unix socket.

## References
- https://docs.docker.com/engine/network/
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.confined import by_itself
from why502.diagnosis.containers import Unforwarded, Unresolved
from why502.model.container import Container
from why502.model.finding import FAIR, LIKELY, PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Target, Transport

HOST = "host"  # the network mode of a container that has no network of its own


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target = case.target
    if target is None:
        if found := _unknown(case):
            yield supports(_apart_words(found.own, found.other), _inspect(found.own, found.other), 2 * PROOF)
        return
    if target.is_unix or not case.seen(*containers.NO_CONNECTION):
        return
    if alone := by_itself(case):
        yield supports(_by_itself_words(*alone), "systemctl show", 2 * PROOF)
    if (lost := containers.unforwarded(case)) is not None and case.seen(Symptom.CONNECT_REFUSED):
        weight = FAIR if not lost.is_trusted else PROOF if lost.is_asked else LIKELY  # any user may make such a container
        yield supports(_unforwarded_words(case, lost), lost.container.shows("inspect"), weight)
    if case.network and (listener := _elsewhere(case)) is not None:
        yield supports(_other_loopback(case, listener), "ss -ltnp", PROOF)
    if (mismatch := _mismatch(case)) is not None:  # an old address of a container leads to no route, and so to no network
        yield supports(mismatch[0], mismatch[1], 2 * PROOF)
    elif case.network and (apart := _apart(case)):
        yield supports(apart, "ip route", PROOF)


def _unforwarded_words(case: Case, lost: Unforwarded) -> str:
    container, target = lost.container, case.target
    where = f"{container.shown} listens on port {lost.inner} in a network of its own"
    if not lost.is_asked:
        return f"{where}, and does not publish it: on the machine nothing listens on {target}"
    internal = f" (is {_listed(container)} internal?)" if container.attachments else ""
    return f"{where}; its engine was to publish it as {target and target.port}, and nothing forwards that port{internal}"


def _by_itself_words(service: Service, listener: Listener) -> str:
    return f"{service.name} listens on {listener.target} in a network of its own (PrivateNetwork=yes), which the proxy is not in"


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
        return (not homes.common(case.network, one.network), bool(one.network))

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
    if (
        not case.home
        or case.target is None
        or case.answers_now
        or not case.seen(Symptom.CONNECT_TIMED_OUT, Symptom.HOST_UNREACHABLE)
    ):
        return ""
    if homes.is_beside(case.network, case.home, case.target.host) is not False:
        return ""
    message = (
        f"{case.target.host} is an address of {homes.name(case.home)} in a network that {homes.name(case.network)} is not in"
    )
    common = homes.common(case.network, case.home)
    return f"{message}; in their common network it is {common}" if common else message


def _mismatch(case: Case) -> tuple[str, str] | None:
    """Return why the proxy's container cannot reach the container that it should, and the command that shows it; else None."""
    own, target = containers.proxy_container(case), case.target
    other = containers.meant(case)
    if own is None or other is None or target is None or target.is_loopback or other == own:
        return None
    if not _has_networks(own) or not _has_networks(other):
        return None
    source = _inspect(own, other)
    common = containers.shared(other, own)
    if not common:
        return _apart_words(own, other), source
    place = next((one for one in other.attachments if target.host in (one.address, one.address_v6)), None)
    if place is not None and place not in common:
        message = (
            f"{target.host} is the address of {other.shown} in network {place.network}, which {own.shown} is not in; in "
            f"{common[0].network}, which they share, its address is {common[0].address}"
        )
        return message, source
    return None


def _unknown(case: Case) -> Unresolved | None:
    """Return a name that is unknown to the proxy because its container is only in other networks; None if there is none."""
    for found in containers.unresolved(case):
        is_near = any(containers.shared(one, found.own) and one.is_running for one in containers.called(case, found.target.host))
        is_apart = _has_networks(found.other) or found.other.network_mode == HOST
        if found.other.is_running and not is_near and _has_networks(found.own) and is_apart:
            return found
    return None


def _inspect(own: Container, other: Container) -> str:
    return f"{own.engine} inspect {own.name} {other.name}"


def _apart_words(own: Container, other: Container) -> str:
    if other.network_mode == HOST:
        return (
            f"{other.shown} uses the machine's own network, in which containers have no names; {own.shown} is in {_listed(own)}"
        )
    return f"{own.shown} is in {_listed(own)}, {other.shown} is in {_listed(other)}: they share no network"


def _has_networks(container: Container) -> bool:
    return bool(container.attachments) and container.network_mode not in (HOST, "none") and container.is_whole


def _listed(container: Container) -> str:
    names = sorted(container.networks)
    return f"network{'s' if len(names) > 1 else ''} {', '.join(names)}"


def aim(case: Case) -> Target | None:
    """Return the container's name as configured, if it is unknown to the proxy."""
    found = _unknown(case)
    return found.target if found else None


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if found := _unknown(case):
        return f"{found.target.host} is unknown to the proxy: {_apart_words(found.own, found.other)}"
    if alone := by_itself(case):
        return _by_itself_words(*alone)
    if (lost := containers.unforwarded(case)) is not None:
        return _unforwarded_words(case, lost)
    if (listener := _elsewhere(case)) is not None:
        return _other_loopback(case, listener)
    mismatch = _mismatch(case)
    return mismatch[0] if mismatch else _apart(case)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the change of the compose file, or the engine's command, that gives them a common network."""
    if unknown := _unknown(case):
        yield _join(unknown.own, unknown.other)
    if alone := by_itself(case):
        yield Remedy(message=f"have {alone[0].name} listen on a unix socket, or take PrivateNetwork=yes out of its settings")
    if lost := containers.unforwarded(case):
        yield _publish(case, lost)
    own, other, target = containers.proxy_container(case), containers.meant(case), case.target
    if own is None or target is None:
        return
    if target.is_loopback:
        found = next((one for one in containers.trusted(case) if one != own and containers.serves(one, target.port)), None)
        name = next((name for place in (containers.shared(found, own) if found else ()) for name in place.names[::-1]), "")
        if found is None:
            gateway = next((place.gateway for place in own.attachments if place.gateway), "")
            to = f", or {gateway}" if gateway else ""
            yield Remedy(
                message=f'name the machine instead of {target.host}: `extra_hosts: ["host.docker.internal:host-gateway"]` for '
                f"{own.shown} and http://host.docker.internal:{target.port}{to}"
            )
        elif name:
            yield Remedy(message=f"name the container instead of {target.host}: {found.service or found.name}:{target.port}")
        else:
            yield _join(own, found)
    elif other is not None and _mismatch(case) is not None:
        common = containers.shared(other, own)
        if common:
            name = other.service or other.name
            yield Remedy(message=f"use the name {name} instead of {target.host}, or {common[0].address} in {common[0].network}")
        else:
            yield _join(own, other)


def _publish(case: Case, lost: Unforwarded) -> Remedy:
    """Return the remedy for a port that its engine does not forward."""
    one, port = lost.container, case.target.port if case.target else lost.inner
    if lost.is_asked:
        return Remedy(
            message=f"give {one.shown} a network that is not internal, beside its own, so that port {port} is published"
        )
    how = f'`ports: ["127.0.0.1:{port}:{lost.inner}"]`' if one.service else f"`-p 127.0.0.1:{port}:{lost.inner}`"
    return Remedy(message=f"publish the port of {one.shown} when it is made again: {how}; `expose` publishes nothing")


def _join(own: Container, other: Container) -> Remedy:
    """Return the remedy that puts a container into a network of the proxy's, or names the machine if that is its network."""
    if other.network_mode == HOST:
        hosts = '`extra_hosts: ["host.docker.internal:host-gateway"]`'
        return Remedy(message=f"name the machine instead: {hosts} for {own.shown}, and host.docker.internal in its configuration")
    network = min(own.networks)
    if other.service and other.project:
        short = network.removeprefix(f"{other.project}_")
        where = f" in {other.config_files[0]}" if other.config_files else ""
        return Remedy(
            message=f"give service {other.service}{where} `networks: [{short}]`, then `{shlex.join(other.command('up', '-d'))}`"
        )
    return Remedy(message=f"put them on one network: `{shlex.join((other.engine, 'network', 'connect', network, other.name))}`")


@rule(29, "loopback-in-container", Severity.NOTE)
def loopback_in_container(deployment: Deployment) -> Iterator[Risk]:
    """A proxy in a container passes to 127.0.0.1, which is the container itself.

    Docker's name server (127.0.0.11) shows that the proxy runs in a container. Unless the application runs in the same
    container, nothing listens there, and the connection is refused.
    """
    ports = {target.port for target in deployment.configuration.listens}
    seen = set()
    for route in deployment.routes_with("resolver"):
        if not any(word.partition(":")[0] == "127.0.0.11" for word in route.resolver) or route.has_variables:
            continue
        for peer in deployment.peers(route):
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
    explains=frozenset(
        {
            "backend-not-running",
            "connect-timeout",
            "dns-host-not-found",
            "dns-resolver-failure",
            "host-unreachable",
            "stale-dns",
            "wrong-address",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    aim=aim,
    foresee=(loopback_in_container,),
)
