"""Which backend takes a request that a log names no target for, and which gateways stand behind others."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from why502.diagnosis.index import Joins
from why502.diagnosis.targets import addresses, peer_sets, routes
from why502.model.config import Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

ENDS = 32  # backends of one route that are considered


def backends_of(joins: Joins, routes: Iterable[Route]) -> tuple[Target, ...]:
    """Return the addresses that some routes lead to: at most `ENDS`."""
    found = (target for each in routes for peer in each.peers for target in addresses(peer, joins.here))
    return tuple(islice(dict.fromkeys(found), ENDS))


def taker(joins: Joins, request: str, server: str) -> Target | None:
    """Return the only backend of the routes that may take a request ("GET /path") to a server; None if there are several.

    Clients ask the outer gateway. A gateway behind another one only counts if there is no other.
    """
    ways = joins.routes_for_request(request, server)
    found = set(backends_of(joins, ways))
    if len(found) > 1:
        inner = joins.once(_inner_gateways)
        outer = [route for route in ways if (proxy := joins.proxy_of.get(id(route))) is None or id(proxy) not in inner]
        found = set(backends_of(joins, outer)) or found
    return found.pop() if len(found) == 1 else None


def _inner_gateways(joins: Joins) -> dict[int, frozenset[Target]]:
    """Return the gateways (`id`) that listen where routes of another gateway lead to, with these addresses."""
    every = joins.here.proxies or ()
    by_pid = {pid: proxy for proxy in every for pid in proxy.pids}
    found: dict[int, set[Target]] = {}
    for proxy in every:
        doors = joins.doors(proxy.network)
        for target in _ends_of(proxy, joins):
            others = (by_pid.get(pid) for listener in doors.near(target) for pid in listener.pids)
            for other in others:
                if other is not None and other is not proxy:
                    found.setdefault(id(other), set()).add(target)
    return {one: frozenset(targets) for one, targets in found.items()}


def _ends_of(proxy: Proxy, joins: Joins) -> frozenset[Target]:
    return frozenset(target for peers in peer_sets(proxy.routes) for peer in peers for target in addresses(peer, joins.here))


def only_target(here: Snapshot, server: str) -> Target | None:
    """Return the backend of a server's routes if there is only one: the location that took a request is unknown."""
    own = [route for route in routes(here) if server and server in (route.server, *route.server_names)]
    found = {peer.target for route in own for peer in route.peers if not peer.is_down}
    return found.pop() if len(found) == 1 else None


def doors_of(joins: Joins, proxy: Proxy | None) -> frozenset[Target]:
    """Return the addresses at which other gateways of this machine reach a gateway."""
    return joins.once(_inner_gateways).get(id(proxy), frozenset())


def door_of(joins: Joins, kind: str) -> Target | None:
    """Return the only address at which other gateways reach the only proxy of a kind; None if there are several, or none."""
    ones = [proxy for proxy in joins.here.proxies or () if proxy.kind == kind]
    doors = joins.once(_inner_gateways).get(id(ones[0]), frozenset()) if len(ones) == 1 else frozenset()
    return next(iter(doors)) if len(doors) == 1 else None


def ends_of_names(joins: Joins) -> dict[Target, frozenset[Target]]:
    """Return the addresses of each name that the routes lead to, as the proxies in their network namespaces resolve it."""
    found: dict[Target, set[Target]] = {}
    for peers in {id(route.peers): route.peers for route in joins.routes}.values():
        for peer in peers:
            if peer.target is not None and not peer.target.is_address:
                found.setdefault(peer.target, set()).update(addresses(peer, joins.here))
    return {name: frozenset(ends) for name, ends in found.items()}
