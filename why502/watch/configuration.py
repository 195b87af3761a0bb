"""What the configuration in force names, in the keys by which requests are counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from why502.model.config import Peer, Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.watch.concern import Scope
from why502.watch.metrics import view
from why502.watch.model import Configured, LocationKey, OwnerKey, PeerKey, RouteKey, TargetKey
from why502.watch.state.values import Served
from why502.watch.tailing.places import location_of

MOST_ROUTES = 2000  # that are kept; a page with more of them helps nobody


def running(snapshot: Snapshot) -> tuple[Proxy, ...]:
    """Return the gateways that run."""
    return tuple(proxy for proxy in snapshot.proxies or () if proxy.is_running)


def configured(snapshot: Snapshot, scopes: Mapping[str, Scope] | None = None) -> Configured:
    """Return the targets and locations. `scopes`: what each target depends on, where it is known."""
    found = running(snapshot)
    return Configured(
        targets=frozenset(TargetKey(proxy.kind, name) for proxy in found for name in _targets(_peers(proxy))),
        locations=frozenset(LocationKey(proxy.kind, location_of(proxy, route)) for proxy in found for route in proxy.routes),
        routes=frozenset(islice((key for proxy in found for key in _routes(proxy)), MOST_ROUTES)),
        peers=frozenset(islice((key for proxy in found for key in _members(proxy)), MOST_ROUTES)),
        owners=frozenset(islice((key for proxy in found for key in _owners(proxy, scopes or {})), MOST_ROUTES)),
    )


def _routes(proxy: Proxy) -> Iterator[RouteKey]:
    """Yield the group that serves each location, or the targets that it names itself."""
    for route in proxy.routes:
        location = location_of(proxy, route)
        if any(group.name == route.upstream for group in proxy.upstreams):
            yield RouteKey(proxy.kind, location, route.upstream or "", "")
        else:
            yield from (RouteKey(proxy.kind, location, "", name) for name in _targets(route.peers))


def _members(proxy: Proxy) -> Iterator[PeerKey]:
    for group in proxy.upstreams:
        yield from (PeerKey(proxy.kind, group.name, name) for name in _targets(group.peers))


def _owners(proxy: Proxy, scopes: Mapping[str, Scope]) -> Iterator[OwnerKey]:
    for target in _targets(_peers(proxy)):
        if scope := scopes.get(target):
            names = (*scope.units, *(f"pid {pid}" for pid in scope.pids))
            yield from (OwnerKey(proxy.kind, target, name) for name in names)


def served(snapshot: Snapshot) -> tuple[Served, ...]:
    """Return which targets serve each location."""
    return tuple(
        Served(proxy=proxy.kind, location=location_of(proxy, route), targets=_of_route(proxy, route), group=route.upstream or "")
        for proxy in running(snapshot)
        for route in proxy.routes
    )


def routes(snapshot: Snapshot) -> tuple[view.Route, ...]:
    """Return the locations with their targets and time limits."""
    return tuple(
        view.Route(
            proxy=proxy.kind,
            location=location_of(proxy, route),
            group=route.upstream or "",
            targets=_of_route(proxy, route),
            timeouts_s={"connect": route.connect_timeout_s, "send": route.send_timeout_s, "read": route.read_timeout_s},
        )
        for proxy in running(snapshot)
        for route in proxy.routes
    )


def logs(snapshot: Snapshot) -> dict[str, str]:
    """Return the proxy that writes each log, by the path of the log."""
    return {proxy.root + log.path: proxy.kind for proxy in running(snapshot) for log in proxy.logs if log.path}


def _of_route(proxy: Proxy, route: Route) -> tuple[str, ...]:
    members = [peer for group in proxy.upstreams if group.name == route.upstream for peer in group.peers]
    return tuple(_targets([*members, *route.peers]))


def _peers(proxy: Proxy) -> Iterator[Peer]:
    for group in proxy.upstreams:
        yield from group.peers
    for route in proxy.routes:
        yield from route.peers


def _targets(peers: Iterable[Peer]) -> dict[str, None]:
    """Return the targets as written in the configuration, in order."""
    return dict.fromkeys(str(peer.target) for peer in peers if peer.target is not None)
