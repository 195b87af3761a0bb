"""The indexes of one snapshot: each is built once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeVar, cast

from why502.diagnosis.alarms import alarms
from why502.diagnosis.answering import responding
from why502.diagnosis.homes import Homes
from why502.diagnosis.listening import REACHES_OTHERS, WIDE, Doors, takes, targets_without_listener
from why502.diagnosis.spares import idle_spares, made_good
from why502.diagnosis.targets import addresses, peer_sets, routes, targets
from why502.diagnosis.upgrades import refused_upgrades
from why502.diagnosis.ways import Ways, ways_of
from why502.gateways.behaviour import behaviour
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.logs import PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.request_line import uri_of
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

T = TypeVar("T")


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
    def addresses_beside(self) -> dict[Target, frozenset[Target]]:
        """All addresses of the configured names that have several, by each of them."""
        found: dict[Target, frozenset[Target]] = {}
        for peers in peer_sets(self.routes):
            for peer in peers:
                if peer.target is not None and not peer.target.is_address and len(every := addresses(peer, self.here)) > 1:
                    for target in every:
                        found[target] = found.get(target, frozenset()).union(every)
        return found

    @cached_property
    def idle_spares(self) -> frozenset[Target]:
        """The addresses that no client needs now."""
        return idle_spares(self.here)

    @cached_property
    def targets_without_listener(self) -> tuple[Target, ...]:
        """The targets on this machine that nothing listens on (() if unknown)."""
        return targets_without_listener(self.here) or ()

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

    def routes_for_request(self, request: str, server: str) -> tuple[Route, ...]:
        """Return the routes of a request ("GET /path") to a server with that first name: one for each proxy that has one."""
        path = uri_of(request)
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
    def host_names(self) -> frozenset[str]:
        """The hosts of all peers, names and addresses, in small letters."""
        hosts = (peer.target.host for peers in peer_sets(self.routes) for peer in peers if peer.target)
        return frozenset(host.lower() for host in hosts if host)

    @cached_property
    def is_open(self) -> bool:
        """True if a route may lead to an address that the configuration does not contain: through a name or variable."""
        return any(route.has_variables and not route.peers for route in self.routes) or any(
            peer.target is None or not peer.target.is_address for peers in peer_sets(self.routes) for peer in peers
        )

    def may_lead_to(self, target: Target | None) -> bool:
        """Return whether a route may lead to an address through a variable, or through a name: with the port that it has."""
        if target is None or not self.is_open:
            return self.is_open
        peers = (peer for found in peer_sets(self.routes) for peer in found if peer.target is None or not peer.target.is_address)
        return any(route.has_variables and not route.peers for route in self.routes) or any(
            peer.target is None or peer.target.port == target.port for peer in peers
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
        return responding(self.here)

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
            if target.host in REACHES_OTHERS:
                wide.setdefault(target.port, []).append(target)

        def is_meant(listener: Listener) -> bool:
            own = listener.target
            if listener.is_at_path is not False and own in exact:
                return True
            if own.is_unix:
                return any(Target(path=name) in exact for name in listener.names)
            near = by_port if own.host in WIDE else wide
            return any(takes(listener, target) for target in near.get(own.port, ()))

        return tuple(listener for listener in self.here.listeners or () if not is_meant(listener))
