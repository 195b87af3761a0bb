"""What the engines' containers mean for a case: the proxy's own, the one that its target means, and what listens there.

A container of a user other than root is believed only about a proxy of that user, and a port that this user's process holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.index import Joins
from why502.diagnosis.listening import accepts
from why502.diagnosis.targets import targets
from why502.gateways.behaviour import programs
from why502.logs.detect import parse_any
from why502.model.container import Attachment, Container
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Listener
from why502.model.target import Target

INSPECT = "inspect"
PAUSED = "paused"
UNSTARTED = ("created", "configured", "initialized")  # made, and never run
NO_ANSWER = (Symptom.CONNECT_TIMED_OUT, Symptom.HOST_UNREACHABLE)
REFUSALS = (Symptom.CONFIG_INVALID, Symptom.NAME_NOT_FOUND, Symptom.PROXY_START_FAILED)
FATAL = ("emerg", "fatal")  # levels of lines after which a gateway that starts ends
NO_NAME = (Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED)
NO_CONNECTION = (*NO_ANSWER, Symptom.CONNECT_REFUSED)


CLOCK = timedelta(seconds=1)  # log times are whole seconds
TICK = timedelta(seconds=0.1)  # the start of a process is known to a hundredth of a second


def trusted(case: Case) -> tuple[Container, ...]:
    """Return the containers whose engine may be believed about the target."""
    uids = {0, case.proxy.owner_uid if case.proxy else 0}
    uids |= {uid for listener in case.listeners or () if (uid := listener.uid) is not None}
    return tuple(one for one in case.here.containers or () if one.owner_uid in uids)


def of_service(case: Case, service: Service) -> Container | None:
    """Return the container that a service is; None if it is none."""
    named = (service.manager, service.name, service.owner_uid)
    return next((one for one in case.here.containers or () if (one.engine, one.name, one.owner_uid) == named), None)


def shown(case: Case, service: Service) -> str:
    """Return a service in words: a container with its compose service, else the manager and the name."""
    container = of_service(case, service)
    return container.shown if container else f"{service.manager} service {service.name}"


def container_of(proxy: Proxy | None, joins: Joins) -> Container | None:
    """Return the container that a proxy runs in; None if it runs in none, or if that is unknown."""
    if proxy is None or proxy.pid is None:
        return None
    process = joins.processes.get(proxy.pid)
    identity = process.container if process else ""
    for one in joins.here.containers or ():
        if (proxy.network and one.network == proxy.network) or (identity and one.id.startswith(identity)):
            return one
    return None


def proxy_container(case: Case) -> Container | None:
    """Return the container of the case's proxy, or of the only one that names the target: an old address leads to no route."""
    proxies = (case.proxy,) if case.proxy is not None else tuple(proxy for proxy in case.proxies if _names(proxy, case))
    found = container_of(proxies[0], case.joins) if len(proxies) == 1 else None
    return found if found in trusted(case) else None


def _names(proxy: Proxy, case: Case) -> bool:
    names, port = names_of(case), case.target.port if case.target else 0
    return proxy.is_running and any(peer and peer.host in names and peer.port in (0, port) for peer in _peers(proxy))


def names_of(case: Case) -> tuple[str, ...]:
    """Return the names by which the configuration may mean the target: its own, or those with its port."""
    target = case.target
    if target is None or target.is_unix:
        return ()
    if not target.is_address:
        return (target.host,)
    if target in case.joins.configured:
        return ()
    return tuple(dict.fromkeys(name.host for name in case.joins.names_of_peers if name.port in (0, target.port)))


def called(case: Case, name: str) -> tuple[Container, ...]:
    """Return the containers of that name: those in a network of the proxy first, running ones before others."""
    own = proxy_container(case)
    networks = own.networks if own else frozenset()
    found = [one for one in trusted(case) if one.is_called(name)]
    return tuple(sorted(found, key=lambda one: (not one.networks & networks, not one.is_running)))


def at(case: Case, host: str) -> Container | None:
    """Return the running container that has an address."""
    return next((one for one in trusted(case) if host in one.addresses), None)


def _is_there(container: Container) -> bool:
    """Return whether a container holds its own network namespace: it runs, or is paused."""
    return bool(container.network) and (container.is_running or container.state == PAUSED)


def publisher(case: Case) -> tuple[Container, int] | None:
    """Return the running (or paused) container that publishes the target's port on the machine, and its inner port."""
    target, proxy = case.target, case.proxy
    if target is None or target.is_unix or (proxy is not None and proxy.network):
        return None
    if not target.is_loopback and target.host not in (case.here.addresses or ()):
        return None
    for one in trusted(case):
        for port in one.published:
            if port.outer == target.port and port.host in ("", target.host) and _is_there(one):
                return one, port.inner
    return None


def kept_out(case: Case) -> tuple[Container, Process] | None:
    """Return the container that should publish the target's port and was never started, and the process that holds that port and
    is in no container; None if there is none. What engines use to forward a port belongs to a container that runs.
    """
    target, proxy = case.target, case.proxy
    if target is None or target.is_unix or (proxy is not None and proxy.network):
        return None
    taken = any(port.outer == target.port and one.is_running for one in trusted(case) for port in one.published)
    holders = (case.process_of(listener) for listener in case.listeners or ())
    holder = next((process for process in holders if process is not None and not process.container), None)
    if holder is None or taken:
        return None
    for one in trusted(case):
        if one.state in UNSTARTED and any(port.outer == target.port for port in one.published):
            return one, holder
    return None


@dataclass(frozen=True, slots=True)
class Unforwarded:
    """A container that serves a port in its own network, to which no port of the machine leads.

    `is_asked`: its engine was asked to publish the target's port, and does not: a container whose networks are all internal.
    """

    container: Container
    inner: int
    is_asked: bool
    is_trusted: bool  # its owner may be believed about the proxy


def _silent_port(case: Case) -> Target | None:
    """Return the target if it is a port of the machine where nothing listens, the proxy is in the machine's own network, and no
    service that has ended is known to belong there; else None.
    """
    target, proxy = case.target, case.proxy
    if target is None or target.is_unix or (proxy is not None and proxy.network) or case.listeners != () or case.network:
        return None
    is_own = target.is_loopback or target.host in (case.here.addresses or ())
    return target if is_own and not any(not one.is_running for one in case.services) else None


def unforwarded(case: Case) -> Unforwarded | None:
    """Return the only container that may be meant by a port of the machine on which nothing listens; None if there is none, or if
    several may be.
    """
    if (target := _silent_port(case)) is None:
        return None
    believed = {one.id for one in trusted(case)}
    running = [one for one in case.here.containers or () if one.network and one.is_running]
    asked = [
        Unforwarded(one, port.inner, True, one.id in believed)
        for one in running
        for port in one.published
        if port.outer == target.port and port.host in ("", target.host) and serves(one, port.inner)
    ]
    silent = [
        Unforwarded(one, target.port, False, one.id in believed)
        for one in running
        if serves(one, target.port) and all(port.inner != target.port for port in one.published)
    ]
    found = asked or [one for one in silent if one.is_trusted] or silent
    return found[0] if len(found) == 1 else None


def published_as(case: Case) -> tuple[Container, int] | None:
    """Return the only container that serves the target's port in its own network, and the other port as which the machine has it;
    None if there is none, or if several may be meant.
    """
    if (target := _silent_port(case)) is None:
        return None
    here = case.here.listeners or ()
    found = [
        (one, port.outer)
        for one in trusted(case)
        for port in one.published
        if port.inner == target.port and port.outer != target.port and one.network and one.is_running and serves(one, port.inner)
        if any(not each.network and each.target.port == port.outer for each in here)
    ]
    return found[0] if len({one.id for one, _ in found}) == 1 else None


def since_proxy(case: Case) -> tuple[str, Container] | None:
    """Return the name and the running container that a proxy looked up only when it started, before this container did; None if
    there is none, or if the proxy failed to connect only before that.

    An engine gives a container an address when it starts, so the proxy may have another one.
    """
    own, target = proxy_container(case), case.target
    if own is None or target is None or target.is_unix:
        return None
    pids = {pid for proxy in case.proxies if proxy.network == own.network for pid in proxy.pids}
    begun = max((since for pid in pids if (one := case.joins.processes.get(pid)) and (since := one.started_at)), default=None)
    at_start = {name.host for name in case.joins.names_at_start if name.port in (0, target.port)}
    holder = at(case, target.host)
    names = {target.host, *(name for place in (holder.attachments if holder else ()) for name in place.names)}
    for name in sorted(at_start & names) if begun else ():
        found = [one for one in called(case, name) if one.is_running and shared(one, own)]
        if len(found) == 1 and begun and (began := found[0].started_at) and began > begun + TICK:
            return name, found[0]
    return None


def may_be_another(case: Case, process: Process) -> str:
    """Return why a process that listens in a network shared by several containers, as those of a pod do, need not be the
    application that is meant; "" if it may well be.

    Each of them is a program of its own: one that has ended may be meant. One that its engine did not describe may have ended.
    """
    if not process.container:
        return ""
    if case.here.containers is None:
        return f"{process.name} runs in a container, and no engine described those beside it"
    own = next((one for one in case.here.containers if one.id.startswith(process.container)), None)
    if own is None or (own.is_whole and not own.shares_network_of):
        return ""
    place = own.shares_network_of
    for one in trusted(case) if place else ():
        if one != own and not one.is_running and one.state and one.shares_network_of == place:
            return f"{one.shown}, of the same network, has ended ({one.state}), and may be what is meant"
    unknown = unexamined(case)
    return f"{unknown.shown} does not run ({unknown.state}), and its engine gave no details" if unknown else ""


def paused(case: Case) -> Container | None:
    """Return the container of the target if somebody has paused it: its processes are frozen; None otherwise."""
    found = meant(case)
    return found if found is not None and found.state == PAUSED else None


def all_paused(joins: Joins) -> Iterator[Target]:
    """Yield the targets whose containers somebody has paused, whether or not a request met them yet."""
    if any(one.state == PAUSED for one in joins.here.containers or ()):
        yield from (target for target in targets(joins.here) if paused(Case(here=joins.here, target=target, index=joins)))


def meant(case: Case) -> Container | None:
    """Return the container that the configuration means by the target; None if it is none, or if that is unknown."""
    target = case.target
    if target is None or target.is_unix:
        return None
    for name in names_of(case):
        if named := called(case, name):
            return named[0]
    if found := at(case, target.host):
        return found
    published = publisher(case)
    return published[0] if published else None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A name that the proxy could not resolve, its target as configured, the proxy's container and the one of that name."""

    target: Target
    own: Container
    other: Container


def unresolved(case: Case) -> Iterator[Unresolved]:
    """Yield the containers whose names the proxy's own container could not resolve, in the case of the proxy itself."""
    if case.target is not None:
        return
    names = {tally.detail for tally in case.tallies if tally.symptom in NO_NAME and tally.detail}
    for proxy in case.proxies:
        own = container_of(proxy, case.joins)
        for target in case.joins.names_of_peers if own else ():
            for other in called(case, target.host) if target.host in names else ():
                if own is not None and other != own and not own.restarts and target in _peers(proxy):
                    yield Unresolved(target, own, other)


def _peers(proxy: Proxy) -> frozenset[Target | None]:
    return frozenset(peer.target for route in proxy.routes for peer in route.peers)


def shared(one: Container, other: Container) -> tuple[Attachment, ...]:
    """Return the places of a container in the networks that it shares with another."""
    return tuple(place for place in one.attachments if place.network in other.networks)


def serves(container: Container, port: int) -> bool:
    """Return whether something in a container takes connections from elsewhere to a port."""
    return any(one.port == port and not one.is_loopback for one in container.listens or ())


def only_loopback(container: Container, port: int) -> Target | None:
    """Return the loopback address on which alone something in a container listens with that port; None otherwise."""
    if serves(container, port):
        return None
    return next((one for one in container.listens or () if one.port == port), None)


def other_ports(container: Container) -> tuple[Target, ...]:
    """Return the addresses that take connections from elsewhere."""
    return tuple(one for one in container.listens or () if not one.is_loopback)


def host_listener(case: Case, port: int) -> tuple[Listener, Process | None] | None:
    """Return the listener on the machine itself with that port, and its process; None if there is none."""
    for listener in case.here.listeners or ():
        if not listener.network and listener.target.port == port and not listener.target.is_unix:
            return listener, case.process_of(listener)
    return None


def host_takes(case: Case, target: Target) -> bool:
    """Return whether the machine itself takes connections to an address of its own."""
    return any(not one.network and accepts(one.target, target, one.only_v6) for one in case.here.listeners or ())


def stopped_gateways(case: Case) -> Iterator[Container]:
    """Yield the containers whose command is a gateway's and that do not run, or are started again and again without listening."""
    for one in trusted(case):
        program = one.argv[0].rsplit("/", 1)[-1] if one.argv else ""
        is_gateway = program in programs() or any(word.rsplit("/", 1)[-1] in programs() for word in one.argv[:3])
        if is_gateway and one.is_down and one.state not in ("", "paused"):
            yield one


def unrouted(case: Case) -> tuple[Container, str] | None:
    """Return the container that ended last, with its gateway, if that had its route from the container's labels, and failed to
    find a route since; None if there is none.

    Requests for what never had a route come all the time: only a container that ended within the window explains those after it.
    """
    tally = case.tally(Symptom.ROUTE_MISSING)
    since = case.here.since
    if case.target is not None or tally is None or tally.first is None or since is None:
        return None
    kinds = {proxy.kind for proxy in case.proxies if proxy.is_running}
    serving = {(one.project, one.service or one.name) for one in trusted(case) if one.is_running}
    ended = [
        (at, one)
        for one in trusted(case)
        if kinds & {*one.gateways} and one.is_down and (at := one.stopped_at) and since <= at <= tally.first + CLOCK
    ]
    ended = [(at, one) for at, one in ended if (one.project, one.service or one.name) not in serving]
    if not ended:
        return None
    one = max(ended, key=lambda each: each[0])[1]
    return one, min(kinds & {*one.gateways})


def unexamined(case: Case) -> Container | None:
    """Return a container that does not run and that its engine was too slow, or not able, to describe; None if there is none."""
    return next((one for one in trusted(case) if not one.is_whole and one.state and not one.is_running), None)


def refused_gateway(case: Case) -> tuple[Container, str] | None:
    """Return the gateway's container that does not start because of its configuration or its files, and its last words; None if
    there is none.
    """
    for container in stopped_gateways(case):
        for line in reversed(container.last_words):
            record = parse_any(line)
            if record is not None and (record.symptom in REFUSALS or (record.proxy and record.level in FATAL)):
                return container, line
    return None
