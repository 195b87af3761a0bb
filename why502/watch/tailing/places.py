"""Where a request belongs: its configured location and its configured peer, from what a log line says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from why502 import registry
from why502.config.configuration import RouteFinder
from why502.model.config import Peer, Route
from why502.model.logs import LogRecord
from why502.model.proxy import Proxy
from why502.model.request_line import uri_of
from why502.model.snapshot import Resolution
from why502.model.target import Target
from why502.redaction import clean

OTHER = "other"  # what is beyond the bounds
MOST_NAMES = 500  # targets that no configuration names
_CACHED = 1 << 14
_LONGEST = 255
_Placer = Callable[[str, str], tuple[str, str] | None]


class Places:
    """The locations and peers of one proxy. `servers`: those that write to the log, if the configuration says so."""

    def __init__(self, proxy: Proxy, names: Iterable[Resolution] = (), servers: tuple[str, ...] = ()) -> None:
        self.proxy = proxy
        self.servers = servers
        config = registry.part("why502.gateways", proxy.kind, "config")
        finder = getattr(config, "finder", None)
        placer = getattr(config, "placer", None)
        self._find: RouteFinder | None = finder(proxy)[1] if finder else None
        self._place: _Placer | None = placer(proxy) if placer else None
        self._peers = _peers(proxy, names)
        self._unknown: set[str] = set()
        self._own = frozenset(answer.status for answer in proxy.answers)
        self._located = lru_cache(_CACHED)(self._location)

    @property
    def has_paths(self) -> bool:
        """Return whether a location depends on the path of a request; else it is named by the line (HAProxy's backends)."""
        return self._find is not None

    def location(self, record: LogRecord) -> str:
        """Return the configured location of a request; "" if it is unknown."""
        if not self.has_paths:
            return backend(record.group)
        return self.of_path(record.server or record.host, uri_of(record.request))

    def of_path(self, server: str, path: str) -> str:
        """Return the configured location of a path on a server, which is "" if the log does not name it."""
        return self._located(server[:_LONGEST], path.partition("?")[0]) if path else self._only_server(server)

    def peer(self, name: str) -> str:
        """Return the configured peer that a log names: by its address, or by the proxy's own name for it."""
        found = self._peers.get(name)
        if found is not None or not name:
            return found or ""
        if len(self._unknown) >= MOST_NAMES and name not in self._unknown:
            return OTHER
        self._unknown.add(name)
        return clean(name)[:_LONGEST]

    def only_peer(self, record: LogRecord) -> str:
        """Return the only peer of a request's route, for a log that names no peers; "" if the proxy may have answered."""
        if not self.has_paths or self._find is None or record.status in self._own:
            return ""
        server = record.server or record.host
        found = {
            peer.target
            for name in ((server,) if server else self.servers or ("",))
            if (route := self._find(uri_of(record.request), name, True))
            for peer in route.peers
        }
        only = found.pop() if len(found) == 1 else None
        return "" if only is None else str(only)

    def _only_server(self, server: str) -> str:
        return clean(server)[:_LONGEST] or (self.servers[0] if len(self.servers) == 1 else "")

    def _location(self, server: str, path: str) -> str:
        found = {self._on(name, path) for name in ((server,) if server else self.servers or ("",))}
        if len(found) == 1:
            name, location = found.pop()
            return label(name, location)
        locations = {location for _, location in found}
        return label("", locations.pop()) if len(locations) == 1 else ""

    def _on(self, server: str, path: str) -> tuple[str, str]:
        """Return the server and the location of a path on one server."""
        route = self._find(path, server, False) if self._find else None
        if route is not None:
            return _server_of(route), route.location
        return (self._place(path, server) if self._place else None) or (self._only_server(server), "")


def location_of(proxy: Proxy, route: Route) -> str:
    """Return the location of a configured route, as requests to it are counted: by its path, or by its backend (HAProxy)."""
    if getattr(registry.part("why502.gateways", proxy.kind, "config"), "finder", None) is None:
        return route.upstream or ""
    return label(_server_of(route), route.location)


def label(server: str, location: str) -> str:
    """Return the name of a location: `shop.example/api/`, `shop.example ~ \\.php$`."""
    return server + (location if not location or location.startswith("/") or not server else f" {location}")


def backend(group: str) -> str:
    """Return the backend in `backend/server`, as HAProxy logs it; "" if the request reached none."""
    name, _, server = group.partition("/")
    return "" if server == "<NOSRV>" else clean(name)[:_LONGEST]


def _server_of(route: Route) -> str:
    return (route.server_names or (route.server,))[0]


def _peers(proxy: Proxy, names: Iterable[Resolution]) -> dict[str, str]:
    """Return the configured peers by every name that a log may have for them."""
    addresses = {one.name: one.addresses for one in names}
    found: dict[str, str] = {}
    for group, peer in _members(proxy):
        if peer.target is None:
            continue
        configured = str(peer.target)
        found[configured] = configured
        for address in addresses.get(peer.target.host, ()):
            found.setdefault(str(Target(host=address, port=peer.target.port)), configured)
        if group and peer.label:
            found[f"{group}/{peer.label}"] = configured
    return found


def _members(proxy: Proxy) -> Iterator[tuple[str, Peer]]:
    for group in proxy.upstreams:
        yield from ((group.name, peer) for peer in group.peers)
    for route in proxy.routes:
        yield from ((route.upstream or "", peer) for peer in route.peers)
