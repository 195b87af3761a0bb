"""The Traefik route that a request takes: by its host, then the longest rule, of which the path is the best sign.

Source: doc.traefik.io/traefik/routing/routers (Priority: the length of the rule).
"""

from __future__ import annotations

from collections.abc import Iterable

from why502.config.configuration import RouteFinder
from why502.gateways.nginx.config.match import path_of
from why502.model.config import Route
from why502.model.proxy import Proxy


class Matcher:
    """Finds routes by host and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    @property
    def servers(self) -> tuple[str, ...]:
        """The host names of all routers."""
        return tuple(dict.fromkeys(name for route in self._routes for name in route.server_names))

    def find(self, uri: str, server: str, *, is_passed: bool = False) -> Route | None:
        """Return the route of a request; None if no router takes it, or if several of the same rank do."""
        path, name = path_of(uri), server.partition(":")[0].lower()
        here = [route for route in self._routes if not route.server_names or not name or name in route.server_names]
        fitting = [route for route in here if _takes(route.location, path)]
        rank = max((_rank(route, name) for route in fitting), default=(False, 0))
        best = [route for route in fitting if _rank(route, name) == rank]
        if not best and is_passed and len(here) == 1:
            return here[0]
        return best[0] if len({id(route.peers) for route in best}) == 1 else None


def _rank(route: Route, name: str) -> tuple[bool, int]:
    return name in route.server_names, len(route.location)


def _takes(location: str, path: str) -> bool:
    return path == location[2:] if location.startswith("= ") else path.startswith(location or "/")


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's servers, and the function that finds the route of a path."""
    matcher = Matcher(proxy.routes)
    return tuple(sorted(matcher.servers)), lambda path, server, is_passed: matcher.find(path, server, is_passed=is_passed)
