"""Indexes of one snapshot: the address of a peer, the routes to it, the listeners on it. Each is built once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, islice
from typing import TypeVar, cast

import msgspec

from why502 import registry
from why502.config.configuration import RouteFinder
from why502.diagnosis.homes import Homes
from why502.gateways.behaviour import OF_ACCESS_LINES, behaviour, programs
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.logs import PathTraffic, Phase, Symptom, Tally, TargetTraffic
from why502.model.snapshot import Listener, Probe, Process, Proxy, Snapshot
from why502.model.target import Target

T = TypeVar("T")
_FAILED_STARTS = frozenset({Symptom.PROXY_START_FAILED, Symptom.LISTEN_FAILED, Symptom.CONFIG_INVALID})
UPGRADE_REQUIRED = "426"  # RFC 9110, 15.5.22
FEW = 3
MOST_REFUSED = 100  # refused paths that are listed one by one
PASSED = frozenset({"502", "503", "504"})  # a gateway sends these for its backends
FAILED = PASSED | {"499"}
_BAD_GATEWAY = "502"
MAINTENANCE = "MAINT"  # HAProxy: by its runtime API, "is going DOWN for maintenance"


def serving(snapshot: Snapshot) -> str:
    """Return, in words, which other gateway serves here if nginx is installed but is not meant to run; else "".

    The conditions: no gateway with a known configuration runs, and none of them failed or is missed. In addition another program
    listens on its ports or on a web port, or all logs belong to another gateway.
    """
    proxies = snapshot.proxies or ()
    tallies = snapshot.logs.tallies if snapshot.logs else ()
    if not proxies or any(proxy.is_running or _has_failed(proxy) or is_missed(proxy, snapshot) for proxy in proxies):
        return ""
    if any(tally.proxy in {proxy.kind for proxy in proxies} and tally.symptom in _FAILED_STARTS for tally in tallies):
        return ""
    others = programs().difference(*(behaviour(proxy.kind).programs for proxy in proxies))
    ports = {80, 443} | {listen.port for proxy in proxies for listen in proxy.listens}
    names = {process.pid: process.name.split(":")[0] for process in snapshot.processes or ()}
    for listener in snapshot.listeners or ():
        pid = next((pid for pid in listener.pids if names.get(pid) in others), None)
        if pid is not None and listener.target.port in ports and not listener.target.is_unix:
            return f"{names[pid]} (pid {pid}) listens on {listener.target}"
    kinds = sorted({tally.proxy for tally in tallies if tally.proxy})
    return f"the logs are those of {', '.join(kinds)}" if kinds and not {proxy.kind for proxy in proxies} & {*kinds} else ""


def is_missed(proxy: Proxy, snapshot: Snapshot) -> bool:
    """Return whether a gateway that does not run is enabled, and no other program listens on any of its ports."""
    if proxy.is_running or not proxy.unit_state.startswith("enabled") or snapshot.listeners is None:
        return False
    taken = {listener.target.port for listener in snapshot.listeners if not listener.target.is_unix}
    ports = {listen.port for listen in proxy.listens if not listen.is_unix}
    return bool(ports) and not ports & taken


def _has_failed(proxy: Proxy) -> bool:
    """Return whether a gateway that does not run has failed, according to its service manager and its log."""
    if proxy.unit_state:
        return proxy.unit_state == "failed"
    return any(word in proxy.why_stopped for word in ("failed", "result ", "exit status", "signal", "[emerg]"))


def alarms(snapshot: Snapshot) -> tuple[Tally, ...]:
    """Return the tallies of failures that clients noticed. Requests that a few impatient clients gave up (499) are left out,
    because they happen everywhere.
    """
    spared = made_good(snapshot)
    found = (tally for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.is_failure)
    return tuple(
        tally
        for tally in found
        if tally.target not in spared
        if tally.symptom is not Symptom.CLIENT_CLOSED or not is_impatience(snapshot, tally.target)
    )


def is_impatience(snapshot: Snapshot, target: Target | None) -> bool:
    """Return whether the requests that clients gave up on a target are few, or were already answered (a cancelled download).

    A large share is an alarm; a smaller share is one if the clients had waited long. If the number of requests is unknown, one or
    two are not an alarm while our own requests are answered.
    """
    logs = snapshot.logs
    tallies = [t for t in (logs.tallies if logs else ()) if t.symptom is Symptom.CLIENT_CLOSED and t.target == target]
    requests = next((x.attempts for x in (logs.targets if logs else ()) if x.target == target), logs.requests if logs else 0)
    if not tallies:
        return False
    waited = [tally for tally in tallies if tally.phase not in (Phase.READ_BODY, Phase.UPGRADED)]
    count = sum(tally.count for tally in waited)
    if not requests:
        return count < FEW and any(probe.symptom is None and probe.is_answer for probe in snapshot.probes or ())
    longest_s = max((tally.duration_max_s or 0.0 for tally in waited), default=0.0)
    is_often = count >= 3 and count >= 0.2 * requests
    is_long = count >= 10 and count >= 0.1 * requests and longest_s >= 10
    return not (is_often or is_long)


def idle_spares(snapshot: Snapshot) -> frozenset[Target]:
    """Return the addresses that are only backup members, one of several values of a variable, or taken out of a group with other
    members by its gateway's administrator, and that no client needs now.

    No client's request failed on them. A failure of our own request through the proxy there says nothing about clients,
    because its Host header is made up.
    """
    every = routes(snapshot)
    possible = {id(route.peers) for route in every if is_choice(route)} if _is_used(snapshot) else set()
    chosen = {id(route.peers) for route in every if id(route.peers) in possible and not is_choice(route)}
    unheard_of, away = made_good(snapshot), _taken_out(snapshot)
    if not possible and not away and not any(peer.is_backup for peers in peer_sets(every) for peer in peers):
        return unheard_of
    needed: set[Target | None] = set(snapshot.asked)
    spare: set[Target] = set()
    for peers in peer_sets(every):
        is_possible = id(peers) in possible - chosen
        is_served = not away.issuperset(target for peer in peers for target in addresses(peer, snapshot))
        for peer in peers:
            found = addresses(peer, snapshot)
            if peer.is_backup or is_possible or (is_served and found and away.issuperset(found)):
                spare.update(found)
            elif peer.target is not None:
                needed.update((peer.target, *found))
    failed = {tally.target for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.is_failure}
    return frozenset(spare - needed - failed) | unheard_of


def _taken_out(snapshot: Snapshot) -> frozenset[Target]:
    """Return the servers that an administrator set to maintenance while the gateway ran, according to its log."""
    tallies = snapshot.logs.tallies if snapshot.logs else ()
    is_out = (tally for tally in tallies if tally.symptom is Symptom.PEER_DISABLED and tally.code == MAINTENANCE)
    return frozenset(tally.target for tally in is_out if tally.target is not None)


def made_good(snapshot: Snapshot) -> frozenset[Target]:
    """Return the addresses that refuse connections while another address of the same name serves all their requests.

    The author of the configuration sees the name as one peer (`localhost` is ::1 and 127.0.0.1): nginx tries its next address at
    once, and no client notices. The access log proves that: it has those requests, and no 502 without another explanation.
    """
    logs = snapshot.logs
    if logs is None or not logs.has_access:
        return frozenset()
    failures: dict[Target, list[Tally]] = {}
    for tally in (each for each in logs.tallies if each.is_failure):
        if tally.target is not None:
            failures.setdefault(tally.target, []).append(tally)
    refused = {target for target, told in failures.items() if all(each.symptom is Symptom.CONNECT_REFUSED for each in told)}
    ways = [route for route in routes(snapshot) if "error" in route.next_upstream] if refused else []
    alive = answered(snapshot)
    return frozenset(target for target in refused if _is_made_good(target, ways, snapshot, failures, alive))


def _is_made_good(
    target: Target, ways: list[Route], snapshot: Snapshot, failures: Mapping[Target, list[Tally]], alive: frozenset[Target]
) -> bool:
    """Return whether other addresses of the same names answer our requests, and the access log shows no client that got a 502
    because of this address.
    """
    places, others = set[Position | None](), set[Target]()
    for route in ways:
        for peer in route.peers:
            found = addresses(peer, snapshot) if peer.target is not None and not peer.target.is_address else ()
            if target in found:
                places.add(route.at)
                others.update(found)
    others.discard(target)
    if not others & alive or target in snapshot.asked:
        return False
    paths = [path for path in (snapshot.logs.paths if snapshot.logs else ()) if path.at in places or path.at is None]
    explained = sum(tally.count for other in others for tally in failures.get(other, ()) if str(tally.status) == _BAD_GATEWAY)
    last = max((tally.last for tally in failures[target] if tally.last), default=None)
    served = max((path.last_served for path in paths if path.last_served), default=None)
    is_served = served is not None and last is not None and served >= last
    return is_served and sum(path.statuses.get(_BAD_GATEWAY, 0) for path in paths) <= explained


def is_choice(route: Route) -> bool:
    """Return whether a variable decides which of several targets a request of the route goes to (a `map` and its default)."""
    return route.has_variables and route.upstream is None and len(route.peers) > 1


def _is_used(snapshot: Snapshot) -> bool:
    """Return whether the logs show requests: without them it is unknown which values of a variable clients reach."""
    return snapshot.logs is not None and snapshot.logs.requests > 0


def addresses(peer: Peer, snapshot: Snapshot) -> tuple[Target, ...]:
    """Return the addresses that a peer means: its own, or those that its name resolves to now (none when unknown)."""
    if peer.target is None:
        return ()
    if peer.target.is_address:
        return (peer.target,)
    return tuple(
        dict.fromkeys(
            Target(host=address, port=peer.target.port)
            for name in snapshot.names or ()
            if name.name == peer.target.host and name.network == peer.network
            for address in name.addresses
        )
    )


def routes(snapshot: Snapshot) -> tuple[Route, ...]:
    """Return the routes of all proxies."""
    return tuple(route for proxy in snapshot.proxies or () for route in proxy.routes)


def peer_sets(routes: Iterable[Route]) -> tuple[tuple[Peer, ...], ...]:
    """Return the peers of some routes: those of a group once, however many routes lead to it."""
    return tuple({id(route.peers): route.peers for route in routes}.values())


def targets(snapshot: Snapshot) -> tuple[Target, ...]:
    """Return every address that a proxy is configured to use or has used by its logs, and the requested targets."""
    configured = (
        target
        for peers in peer_sets(routes(snapshot))
        for peer in peers
        if not peer.is_down
        for target in addresses(peer, snapshot)
    )
    logged = (tally.target for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.target is not None)
    return tuple(dict.fromkeys((*snapshot.asked, *configured, *logged)))


def unheard(snapshot: Snapshot) -> tuple[Target, ...] | None:
    """Return the targets on this machine that a running proxy names and nothing listens on; None if listeners are unknown.

    A target that answered our own request has a listener, whatever the name of its socket.
    """
    if snapshot.listeners is None:
        return None
    answering = heard(snapshot)
    homes = Homes(snapshot)
    doors = Doors(snapshot.listeners)
    spares = idle_spares(snapshot)
    wanted = (
        (target, home)
        for proxy in snapshot.proxies or ()
        if proxy.is_running
        for peers in peer_sets(proxy.routes)
        for peer in peers
        if not peer.is_down
        for target in addresses(peer, snapshot)
        if target not in spares and (proxy.network, target) not in answering
        if (home := homes.of(target, proxy.network)) is not None
    )
    return tuple(
        target
        for target, home in dict.fromkeys(wanted)
        if not any(takes(x, target) for x in doors.near(target) if target.is_unix or x.network == home)
    )


def answered(snapshot: Snapshot) -> frozenset[Target]:
    """Return the targets that accepted our connection, or answered it with a failure, in any network namespace."""
    return frozenset(target for _, target in heard(snapshot))


def heard(snapshot: Snapshot) -> frozenset[tuple[str, Target]]:
    """Return the targets that accepted our connection, or answered it with a failure: they have a listener. Each with the
    network namespace it was reached from.
    """
    return frozenset(
        (probe.network, probe.target)
        for probe in snapshot.probes or ()
        if not probe.through_proxy
        if probe.symptom is None or probe.status is not None or probe.first_byte_s is not None
    )


def frozen(snapshot: Snapshot) -> tuple[Target, ...]:
    """Return the targets on this machine whose only listeners are stopped processes (state T): connections succeed,
    but get no answer.
    """
    stopped = {process.pid for process in snapshot.processes or () if process.is_stopped}
    if not stopped or snapshot.listeners is None:
        return ()
    doors = Doors(snapshot.listeners)
    known = {process.pid for process in snapshot.processes or ()}
    found = []
    for target in targets(snapshot):
        owners = {pid for x in doors.near(target) if takes(x, target) for pid in x.pids} & known
        if owners and owners <= stopped:
            found.append(target)
    return tuple(found)


def refused_upgrades(snapshot: Snapshot) -> dict[Target, PathTraffic]:
    """Return the targets that require an upgrade (426) on paths whose route does not forward upgrades,
    each with the path where this occurred most often.
    """
    plain = {route.at: route for route in routes(snapshot) if route.at and not passes_upgrade(route)}
    found: dict[Target, PathTraffic] = {}
    for path in snapshot.logs.paths if snapshot.logs else ():
        route = plain.get(path.at) if path.at else None
        count = path.statuses.get(UPGRADE_REQUIRED, 0)
        if route is None or count < FEW or len(route.peers) != 1:
            continue
        for target in addresses(route.peers[0], snapshot):
            if target not in found or found[target].statuses[UPGRADE_REQUIRED] < count:
                found[target] = path
    return found


def passes_upgrade(route: Route) -> bool:
    """Return whether a route forwards the client's Upgrade header; most gateways do so by default."""
    return behaviour(route.proxy).forwards_upgrade or any(name.lower() == "upgrade" and value for name, value in route.headers)


OF_GROUPS = frozenset({Symptom.NO_LIVE_UPSTREAMS, Symptom.NO_MEMBERS})
OF_NAMES = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED})  # then a target is a name with its port
MOST_WAYS = 200  # routes of one path on servers that the log does not name; more are not compared


@dataclass(frozen=True, eq=False)
class Ways:
    """The routes of requests through the gateways of one kind, whose logs may name no address."""

    kind: str
    proxies: tuple[Proxy, ...]

    @cached_property
    def own(self) -> frozenset[int]:
        """The statuses that they may send without a backend."""
        return frozenset(answer.status for proxy in self.proxies for answer in proxy.answers)

    @cached_property
    def _finders(self) -> tuple[tuple[tuple[str, ...], RouteFinder], ...]:
        """For each gateway, its server names, and the function that finds a route by path, server and whether it is passed on."""
        return tuple(_finders()[proxy.kind](proxy) for proxy in self.proxies)

    def of(self, path: str, server: str, *, is_passed: bool = False) -> Iterator[Route]:
        """Yield the routes that a request may take, one for each server that may have it: for all servers if its name is unknown.

        A caller that only compares them stops at the first difference, because there may be thousands of servers.
        """
        for names, find in self._finders:
            for name in (server,) if server else names:
                if route := find(path, name, is_passed):
                    yield route

    def of_unnamed(self, path: str) -> Iterator[Route]:
        """Yield the routes of a request whose server has no name, one for each gateway at most."""
        return (route for _, find in self._finders if (route := find(path, "", True)))

    @cached_property
    def by_protocol(self) -> dict[str, frozenset[Target | None]]:
        """The targets of the routes of each protocol."""
        found: dict[str, set[Target | None]] = {}
        for proxy in self.proxies:
            for route in proxy.routes:
                found.setdefault(route.protocol, set()).update(self.ends(route) or {None})
        return {protocol: frozenset(ends) for protocol, ends in found.items()}

    @cached_property
    def _ends(self) -> dict[int, frozenset[Target | None]]:
        return {}

    def ends(self, route: Route) -> frozenset[Target | None]:
        """Return the targets of a route."""
        if id(route.peers) not in self._ends:
            self._ends[id(route.peers)] = frozenset(peer.target for peer in route.peers if not peer.is_down)
        return self._ends[id(route.peers)]


@cache
def _finders() -> dict[str, Callable[[Proxy], tuple[tuple[str, ...], RouteFinder]]]:
    """Return, for each kind of gateway, the function that makes its server names and its finder of routes by path."""
    modules = {name: registry.part("why502.gateways", name, "config") for name in registry.products("why502.gateways")}
    return {name: module.finder for name, module in modules.items() if module is not None and hasattr(module, "finder")}


def ways_of(proxies: Iterable[Proxy]) -> dict[str, Ways]:
    """Return the `Ways` of each kind of gateway that finds its routes by a request's path."""
    found = list(proxies)
    return {kind: Ways(kind, tuple(proxy for proxy in found if proxy.kind == kind)) for kind in _finders()}


def placed(tallies: Iterable[Tally], ways: Mapping[str, Ways]) -> tuple[Tally, ...]:
    """Return the tallies. If all requests of a tally lead to one single address, that becomes its target.

    An access log without upstream fields does not name the address, nor do some lines of Apache and Caddy; the configuration
    does. If the gateway may send the same status itself, the target stays unknown. If several servers have the path, the
    application's own messages about the same requests decide.
    """
    found = tuple(tallies)
    return tuple(
        _at_its_place(tally, way, found) if (way := ways.get(tally.proxy or "")) and _is_unplaced(tally, way) else tally
        for tally in found
    )


def _at_its_place(tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> Tally:
    """Return a tally with the one address that its requests lead to, else with the one balancer; one about a whole group with
    that group.
    """
    is_of_group = tally.symptom in OF_GROUPS
    target = None if is_of_group else _place(tally, ways, others)
    is_of_balancer = is_of_group or (
        target is None and behaviour(ways.kind).has_balancers and tally.symptom is Symptom.GATEWAY_STATUS
    )
    return msgspec.structs.replace(tally, target=target, group=_balancer(tally, ways) if is_of_balancer else tally.group)


def _balancer(tally: Tally, ways: Ways) -> str:
    """Return the one balancer that the requests of a tally lead to; "" if there are several,
    or the gateway may send that status itself.
    """
    if tally.status in ways.own or not tally.requests:
        return ""
    found: set[str] = set()
    for request, _ in tally.requests:
        routes = tuple(islice(ways.of(request.partition(" ")[2], tally.server, is_passed=True), MOST_WAYS + 1))
        found |= {route.upstream or "" for route in routes[:MOST_WAYS]} if 0 < len(routes) <= MOST_WAYS else {""}
    return found.pop() if len(found) == 1 else ""


def _is_unplaced(tally: Tally, ways: Ways) -> bool:
    """Return whether a tally is about requests to a backend that its log does not name."""
    if tally.target is not None or tally.group:
        return False
    stated = behaviour(ways.kind)
    is_message = tally.symptom not in OF_ACCESS_LINES
    is_placed = is_message or stated.places_own_statuses or tally.status not in (None, *ways.own)
    return tally.symptom in stated.unplaced and is_placed


def _place(tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> Target | None:
    """Return the only address that the requests of a tally lead to, by their paths, else by their protocol;
    None if there are several.
    """
    found: set[Target | None] = set()
    for request, _ in tally.requests:
        path = request if request.startswith("/") else request.partition(" ")[2]
        routes = tuple(islice(ways.of(path, tally.server, is_passed=True), MOST_WAYS + 1))
        if len(routes) > MOST_WAYS:
            return None
        spoken = tuple(route for route in routes if route.protocol == tally.protocol) if tally.protocol else ()
        routes = spoken or routes
        peers = {end for route in {id(route.peers): route for route in routes}.values() for end in ways.ends(route)}
        found |= peers if peers and all(route.peers for route in routes) else {None}
    if not tally.requests and behaviour(ways.kind).is_placed_by_protocol:
        found |= ways.by_protocol.get(tally.protocol) or {end for ends in ways.by_protocol.values() for end in ends}
    if len(found) > 1 and None not in found:
        found = _said_by(tally, others) & found or found
    only = found.pop() if len(found) == 1 else None
    return only if only and (only.is_address or tally.symptom in OF_NAMES) else None


def _said_by(tally: Tally, others: tuple[Tally, ...]) -> set[Target | None]:
    """Return the targets whose applications reported errors of their own for at least half of a tally's requests."""
    requests = {request for request, _ in tally.requests}
    found: Counter[Target | None] = Counter()
    for other in others:
        if other.symptom is Symptom.APPLICATION_ERROR and other.proxy == tally.proxy and other.target is not None:
            found[other.target] += sum(count for request, count in other.requests if request in requests)
    return {target for target, count in found.items() if 2 * count >= tally.count}


def by_route(paths: Iterable[PathTraffic], known: Mapping[str, Ways]) -> tuple[PathTraffic, ...]:
    """Return the traffic of paths with the route that each takes. Paths that were never refused and never failed are reported
    only as a sum for each route.

    If the log does not name the server, a path has a route only if all servers that have it agree.
    """
    ways = [way for way in known.values() if way.proxies]

    def taken(path: PathTraffic) -> Route | None:
        url = path.request.partition(" ")[2].replace("*", "0")
        is_passed = bool(PASSED & path.statuses.keys())
        found = chain.from_iterable(way.of(url, path.server, is_passed=is_passed) for way in ways)
        first = next(found, None)
        return first if first and all(route.at == first.at for route in found) else None

    kept: list[PathTraffic] = []
    sums: dict[tuple[str, Position | None], PathTraffic] = {}
    for each in paths:
        route = taken(each) if each.request else None
        path = msgspec.structs.replace(each, at=route.at, location=route.location) if route else each
        if (path.last_refused is not None or FAILED & path.statuses.keys()) and len(kept) < MOST_REFUSED:
            kept.append(path)
            continue
        key = (path.server, path.at)
        sums[key] = _added(sums[key], path) if key in sums else msgspec.structs.replace(path, request="")
    return (*kept, *sums.values())


def _added(one: PathTraffic, other: PathTraffic) -> PathTraffic:
    """Return the sum of two paths of one route."""
    statuses = {status: one.statuses.get(status, 0) + other.statuses.get(status, 0) for status in one.statuses | other.statuses}
    return msgspec.structs.replace(
        one,
        statuses=dict(sorted(statuses.items())),
        clients=max(one.clients, other.clients),
        refused_since=one.refused_since + other.refused_since,
        last_refused=max(filter(None, (one.last_refused, other.last_refused)), default=None),
        last_served=max(filter(None, (one.last_served, other.last_served)), default=None),
    )


def merged(tallies: Iterable[Tally]) -> Tally | None:
    """Return one tally that sums those given; None if there are none. Fields that differ are taken from the first."""
    found = list(tallies)
    if len(found) <= 1:
        return found[0] if found else None
    head = max(found, key=lambda tally: tally.count)
    shortest = [x.duration_min_s for x in found if x.duration_min_s is not None]
    longest = [x.duration_max_s for x in found if x.duration_max_s is not None]
    return msgspec.structs.replace(
        head,
        count=sum(x.count for x in found),
        hidden=sum(x.hidden for x in found),
        is_notice=all(x.is_notice for x in found),
        first=min((x.first for x in found if x.first), default=None),
        last=max((x.last for x in found if x.last), default=None),
        duration_min_s=min(shortest, default=None),
        duration_max_s=max(longest, default=None),
        samples=(*head.samples, *(s for x in found if x is not head for s in x.samples))[:3],
    )


def accepts(listening: Target, wanted: Target, only_v6: bool | None = None) -> bool:
    """Return whether a socket listening on one target takes connections to the other (ipv6(7): a `::` socket takes IPv4 too)."""
    if listening.is_unix or wanted.is_unix:
        return listening.path == wanted.path and listening.is_unix == wanted.is_unix
    if listening.port != wanted.port:
        return False
    if listening.host == wanted.host:
        return True
    if listening.host == "0.0.0.0":
        return ":" not in wanted.host
    if listening.host == "::":
        return ":" in wanted.host or not only_v6
    if wanted.host in ("0.0.0.0", "::"):  # connecting to the wildcard reaches loopback
        return listening.is_loopback
    return wanted.host == "localhost" and listening.is_loopback


def takes(listener: Listener, wanted: Target) -> bool:
    """Return whether a listener takes connections to a target, under any of its names.

    False if the path that a unix socket was bound to now leads to another file, or to none.
    """
    if wanted.is_unix and wanted.path in listener.names:
        return True
    return listener.is_at_path is not False and accepts(listener.target, wanted, listener.only_v6)


_MANY = frozenset({"0.0.0.0", "::"})  # a listener there takes connections to several addresses
_ANY = _MANY | {"localhost"}  # a connection to it reaches sockets with other addresses


class Doors:
    """Listeners by the targets whose connections they may take: thousands may share a port."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._exact: dict[tuple[str, int, str], list[tuple[int, Listener]]] = {}
        self._wide: dict[int, list[tuple[int, Listener]]] = {}
        self.by_port: dict[int, list[Listener]] = {}
        for place, one in enumerate(listeners):
            target = one.target
            self.by_port.setdefault(target.port, []).append(one)
            if target.host in _MANY:
                self._wide.setdefault(target.port, []).append((place, one))
            else:
                self._exact.setdefault((target.host, target.port, target.path), []).append((place, one))
                for name in one.names:
                    self._exact.setdefault(("", 0, name), []).append((place, one))

    def near(self, wanted: Target) -> list[Listener]:
        """Return the listeners that may take connections to a target, in order; `takes` decides for each."""
        if wanted.host in _ANY:
            return self.by_port.get(wanted.port, [])
        exact = self._exact.get((wanted.host, wanted.port, wanted.path), [])
        wide = [] if wanted.is_unix else self._wide.get(wanted.port, [])
        found = sorted((*exact, *wide), key=lambda each: each[0]) if exact and wide else exact or wide
        return [one for _, one in found]


@dataclass(frozen=True, eq=False)
class Joins:
    """The indexes of one snapshot, so that the work for each of thousands of targets does not grow with their number."""

    here: Snapshot

    @cached_property
    def _derived(self) -> dict[object, object]:
        return {}

    def once(self, derive: Callable[[Joins], T]) -> T:
        """Return the result of a function of this index; it is called once, however many targets need the result."""
        if derive not in self._derived:
            self._derived[derive] = derive(self)
        return cast(T, self._derived[derive])

    @cached_property
    def homes(self) -> Homes:
        """Where connections end: the network namespaces by their addresses."""
        return Homes(self.here)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """All routes of all proxies."""
        return routes(self.here)

    @cached_property
    def routes_at(self) -> dict[Position, Route]:
        """The routes by their position in the configuration."""
        return {route.at: route for route in self.routes if route.at is not None}

    @cached_property
    def variable_routes(self) -> tuple[Route, ...]:
        """The routes whose target depends on a variable."""
        return tuple(route for route in self.routes if route.has_variables)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """All targets."""
        return targets(self.here)

    @cached_property
    def alarms(self) -> tuple[Tally, ...]:
        """The tallies of failures that clients noticed."""
        return alarms(self.here)

    @cached_property
    def made_good(self) -> frozenset[Target]:
        """The addresses that refuse connections while another address of the same name serves."""
        return made_good(self.here)

    @cached_property
    def idle_spares(self) -> frozenset[Target]:
        """The addresses that no client needs now."""
        return idle_spares(self.here)

    @cached_property
    def unheard(self) -> tuple[Target, ...]:
        """The targets on this machine that nothing listens on (() if unknown)."""
        return unheard(self.here) or ()

    @cached_property
    def _members(self) -> dict[int, dict[Target, Peer]]:
        return {}

    def members(self, peers: tuple[Peer, ...]) -> dict[Target, Peer]:
        """Return the first peer that means each target. `peers` belong to a route or group of this snapshot."""
        if id(peers) not in self._members:
            found: dict[Target, Peer] = {}
            for peer in peers:
                for target in addresses(peer, self.here):
                    found.setdefault(target, peer)
            self._members[id(peers)] = found
        return self._members[id(peers)]

    @cached_property
    def _routes_of(self) -> dict[int, list[int]]:
        """The indexes of the routes, by the identity of their peers."""
        found: dict[int, list[int]] = {}
        for place, route in enumerate(self.routes):
            found.setdefault(id(route.peers), []).append(place)
        return found

    @cached_property
    def _sets_to(self) -> dict[Target, list[int]]:
        """The identities of the peers that mean each target."""
        found: dict[Target, list[int]] = {}
        for peers in peer_sets(self.routes):
            for target in self.members(peers):
                found.setdefault(target, []).append(id(peers))
        return found

    def leads_to(self, target: Target | None) -> bool:
        """Return whether some route leads to a target."""
        return target in self._sets_to

    def routes_to(self, target: Target) -> tuple[Route, ...]:
        """Return the routes that lead to a target, in order."""
        places = sorted(place for peers in self._sets_to.get(target, ()) for place in self._routes_of[peers])
        return tuple(self.routes[place] for place in places)

    @cached_property
    def _paths_of(self) -> dict[tuple[int, ...], tuple[PathTraffic, ...]]:
        return {}

    def paths_to(self, target: Target) -> tuple[PathTraffic, ...]:
        """Return the traffic of the paths that the routes to a target serve, and of paths that several servers have;
        once for each group.
        """
        key = tuple(self._sets_to.get(target, ()))
        if key not in self._paths_of:
            places = {route.at for route in self.routes_to(target) if route.at is not None}
            found = self.here.logs.paths if self.here.logs else ()
            self._paths_of[key] = tuple(path for path in found if path.at in places or path.at is None)
        return self._paths_of[key]

    @cached_property
    def proxy_of(self) -> dict[int, Proxy]:
        """The proxies by the identity of their routes."""
        found: dict[int, Proxy] = {}
        for proxy in self.here.proxies or ():
            for route in proxy.routes:
                found.setdefault(id(route), proxy)
        return found

    @cached_property
    def groups(self) -> dict[str, tuple[int, Upstream]]:
        """The first group of each name, with its index among all groups."""
        found: dict[str, tuple[int, Upstream]] = {}
        for place, group in enumerate(group for proxy in self.here.proxies or () for group in proxy.upstreams):
            found.setdefault(group.name, (place, group))
        return found

    @cached_property
    def _ways(self) -> tuple[Ways, ...]:
        return tuple(ways for ways in ways_of(self.here.proxies or ()).values() if ways.proxies)

    def taken(self, request: str, server: str) -> tuple[Route, ...]:
        """Return the routes of a request ("GET /path") to a server with that first name: one for each proxy that has one."""
        path = request.partition(" ")[2]
        found = (
            ways.of_unnamed(path)
            if not server and behaviour(ways.kind).logs_name_server
            else ways.of(path, server, is_passed=True)
            for ways in (self._ways if path else ())
        )
        return tuple(chain.from_iterable(found))

    @cached_property
    def routes_by_name(self) -> dict[int, list[Route]]:
        """The routes that name a host and port, by port."""
        found: dict[int, list[Route]] = {}
        ports = {
            id(peers): {peer.target.port for peer in peers if peer.target and not peer.target.is_address}
            for peers in peer_sets(self.routes)
        }
        for route in self.routes:
            for port in ports[id(route.peers)]:
                found.setdefault(port, []).append(route)
        return found

    @cached_property
    def configured(self) -> frozenset[Target]:
        """The addresses that the configuration contains literally."""
        return frozenset(
            peer.target for peers in peer_sets(self.routes) for peer in peers if peer.target and peer.target.is_address
        )

    @cached_property
    def names_at_start(self) -> tuple[Target, ...]:
        """The names, with their ports, that a proxy resolves only when it starts or loads its configuration."""
        found = (
            peer.target
            for peers in peer_sets(route for route in self.routes if not route.has_variables)
            for peer in peers
            if peer.target and not peer.target.is_address and not peer.resolves
        )
        return tuple(dict.fromkeys(found))

    @cached_property
    def names_of_peers(self) -> tuple[Target, ...]:
        """The names of all peers, with their ports (0: unknown), however often they are resolved."""
        found = (peer.target for peers in peer_sets(self.routes) for peer in peers if peer.target and not peer.target.is_address)
        return tuple(dict.fromkeys(found))

    @cached_property
    def is_open(self) -> bool:
        """True if a route may lead to an address that the configuration does not contain: through a name or variable."""
        return any(route.has_variables and not route.peers for route in self.routes) or any(
            peer.target is None or not peer.target.is_address for peers in peer_sets(self.routes) for peer in peers
        )

    @cached_property
    def tallies(self) -> dict[Target | None, list[Tally]]:
        """The tallies by target."""
        found: dict[Target | None, list[Tally]] = {}
        for tally in self.here.logs.tallies if self.here.logs else ():
            found.setdefault(tally.target, []).append(tally)
        return found

    @cached_property
    def refused_upgrades(self) -> dict[Target, PathTraffic]:
        """The targets that require an upgrade which their routes do not forward, each with a path."""
        return refused_upgrades(self.here)

    def tallies_of(self, symptom: Symptom) -> list[Tally]:
        """Return the tallies of the proxy itself, without a target, that have a symptom."""
        return [tally for tally in self.tallies.get(None, ()) if tally.symptom is symptom]

    @cached_property
    def failing(self) -> frozenset[Target]:
        """The targets with failures in some gateway's log."""
        return frozenset(t.target for t in (self.here.logs.tallies if self.here.logs else ()) if t.target and t.proxy is not None)

    @cached_property
    def traffic(self) -> dict[Target, TargetTraffic]:
        """The access log's figures for each target."""
        return {traffic.target: traffic for traffic in (self.here.logs.targets if self.here.logs else ())}

    @cached_property
    def answering(self) -> frozenset[tuple[str, Target]]:
        """The targets that answered a request of ours, each with the network namespace it was reached from."""
        return heard(self.here)

    @cached_property
    def probes(self) -> dict[Target, list[Probe]]:
        """Our own direct requests to each target."""
        found: dict[Target, list[Probe]] = {}
        for probe in self.here.probes or ():
            if not probe.through_proxy:
                found.setdefault(probe.target, []).append(probe)
        return found

    @cached_property
    def entrances(self) -> dict[Position, list[Probe]]:
        """Our own requests through the proxy, by the position of the route that they were meant for."""
        found: dict[Position, list[Probe]] = {}
        for probe in self.here.probes or ():
            if probe.through_proxy and probe.route_at is not None:
                found.setdefault(probe.route_at, []).append(probe)
        return found

    @cached_property
    def _by_network(self) -> dict[str, tuple[Listener, ...]]:
        return {}

    def listeners_at(self, port: int) -> tuple[Listener, ...]:
        """Return the TCP listeners on a port in all network namespaces."""
        return tuple(one for one in self.here.listeners or () if one.target.port == port and not one.target.is_unix)

    def reachable(self, network: str) -> tuple[Listener, ...]:
        """Return the listeners in one network namespace, and every unix socket."""
        if network not in self._by_network:
            found = self.here.listeners or ()
            self._by_network[network] = tuple(x for x in found if x.target.is_unix or x.network == network)
        return self._by_network[network]

    @cached_property
    def _doors(self) -> dict[str, Doors]:
        return {}

    def doors(self, network: str) -> Doors:
        """Return the listeners of `reachable` by target."""
        if network not in self._doors:
            self._doors[network] = Doors(self.reachable(network))
        return self._doors[network]

    @cached_property
    def processes(self) -> dict[int, Process]:
        """The processes by pid."""
        return {process.pid: process for process in self.here.processes or ()}

    @cached_property
    def unnamed(self) -> tuple[Listener, ...]:
        """The listeners that no target means."""
        exact = set(self.targets)
        by_port: dict[int, list[Target]] = {}
        wide: dict[int, list[Target]] = {}
        for target in self.targets:
            by_port.setdefault(target.port, []).append(target)
            if target.host in _ANY:
                wide.setdefault(target.port, []).append(target)

        def is_meant(listener: Listener) -> bool:
            own = listener.target
            if listener.is_at_path is not False and own in exact:
                return True
            if own.is_unix:
                return any(Target(path=name) in exact for name in listener.names)
            near = by_port if own.host in _MANY else wide
            return any(takes(listener, target) for target in near.get(own.port, ()))

        return tuple(listener for listener in self.here.listeners or () if not is_meant(listener))
