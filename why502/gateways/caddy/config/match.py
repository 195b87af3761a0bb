"""The Caddy route that a request takes, by its path.

Source: caddyserver.com/docs/caddyfile/directives (sorting: the longest path first).
"""

from __future__ import annotations

from collections.abc import Iterable

from why502.config.configuration import RouteFinder
from why502.gateways.nginx.config.match import path_of
from why502.model.config import Route
from why502.model.proxy import Proxy


class Matcher:
    """Finds routes. A site is identified by its first address, as in the routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_site: dict[str, list[Route]] = {}
        for route in routes:
            self._by_site.setdefault(route.server, []).append(route)

    @property
    def servers(self) -> tuple[str, ...]:
        """The first addresses of the sites with routes."""
        return tuple(self._by_site)

    def find(self, uri: str, server: str, *, is_passed: bool = False) -> Route | None:
        """Return the route of a request; None if no path matches, or if several of the same length do."""
        path = path_of(uri)
        routes = self._of_site(server)
        fitting = [route for route in routes if path.startswith(route.location or "/")]
        longest = max((len(route.location) for route in fitting), default=0)
        best = [route for route in fitting if len(route.location) == longest]
        if not best and is_passed and len(routes) == 1:
            return routes[0]
        return best[0] if len({id(route.peers) for route in best}) == 1 else None

    def _of_site(self, server: str) -> list[Route]:
        """Return the routes of a site by its first address, else by the request's host; a site without a name takes all other
        hosts.
        """
        if server in self._by_site:
            return self._by_site[server]
        host = _host(server)
        named = [routes for site, routes in self._by_site.items() if _host(site) == host]
        named = named or [routes for site, routes in self._by_site.items() if _host(site) in ("", "*")]
        return [route for routes in named for route in routes]


def _host(address: str) -> str:
    """Return the host of a site's address or of a request, "" if it has none: `https://shop.example:8443/api` has
    shop.example.
    """
    host = address.rpartition("://")[2].partition("/")[0]
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's servers, and the function that finds the route of a path."""
    matcher = Matcher(proxy.routes)
    return tuple(sorted(matcher.servers)), lambda path, server, is_passed: matcher.find(path, server, is_passed=is_passed)
