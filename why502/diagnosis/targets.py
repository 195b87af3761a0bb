"""The targets of one snapshot: which addresses its routes, peers and logs mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from why502.gateways.behaviour import behaviour
from why502.model.config import Peer, Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target


def routes(snapshot: Snapshot) -> tuple[Route, ...]:
    """Return the routes of all proxies."""
    return tuple(route for proxy in snapshot.proxies or () for route in proxy.routes)


def peer_sets(routes: Iterable[Route]) -> tuple[tuple[Peer, ...], ...]:
    """Return the peers of some routes: those of a group once, however many routes lead to it."""
    return tuple({id(route.peers): route.peers for route in routes}.values())


def is_choice(route: Route) -> bool:
    """Return whether a variable decides which of several targets a request of the route goes to (a `map` and its default)."""
    return route.has_variables and route.upstream is None and len(route.peers) > 1


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


def behind(proxy: Proxy, target: Target, snapshot: Snapshot) -> Iterator[Target]:
    """Yield the addresses to which a gateway that listens on a target passes the requests that it gets there."""
    for route in proxy.routes:
        ports = [word.split(" ")[0].rpartition(":")[2] for word in route.listens]
        is_any = not behaviour(proxy.kind).routes_have_listens or not ports or target.is_unix
        if is_any or str(target.port) in ports:
            for peer in route.peers:
                yield from addresses(peer, snapshot)
