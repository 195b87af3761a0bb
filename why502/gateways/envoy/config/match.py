"""The Envoy route that a request takes: the virtual host by its domains, then the first route that matches.

Source: api/envoy/config/route/v3/route_components.proto, VirtualHost.domains: an exact name, then the longest `*.suffix`, then
the longest `prefix.*`, then `*`.
"""

from __future__ import annotations

from collections.abc import Iterable

from why502.config.configuration import RouteFinder
from why502.model.config import Route
from why502.model.patterns import lazy
from why502.model.proxy import Proxy

_PLAIN = lazy(r"[\w/@~!&',;:=% -]*")


class Matcher:
    """Finds routes. A virtual host is identified by its first domain, as in the routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_host: dict[str, list[Route]] = {}
        self._domains: dict[str, str] = {}
        for route in (each for each in routes if not each.location.startswith("@")):
            self._by_host.setdefault(route.server, []).append(route)
            for name in route.server_names or ("*",):
                self._domains.setdefault(name, route.server)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The first domains of the virtual hosts with routes."""
        return tuple(self._by_host)

    def find(self, uri: str, server: str) -> Route | None:
        """Return the route of a request; None if none matches, or if more than its path decides which."""
        path = uri.partition("?")[0].partition("#")[0] or "/"
        fitting = [route for route in self._by_host.get(self._host(server), ()) if _fits(route, path)]
        if not fitting:
            return None
        first = fitting[0]
        alike = [route for route in fitting if route.location == first.location]  # also the parts of a weighted route
        is_sure = not first.if_conditions and not first.location.startswith("~")
        return first if is_sure and len({id(route.peers) for route in alike}) == 1 else None

    def _host(self, server: str) -> str:
        """Return the first domain of the virtual host of a name."""
        if server in self._by_host:
            return server
        name, colon, port = server.rpartition(":")
        name = (name if colon and port.isdecimal() else server).lower()
        if name in self._domains:
            return self._domains[name]
        ends = [domain for domain in self._domains if domain.startswith("*") and domain != "*" and name.endswith(domain[1:])]
        starts = [domain for domain in self._domains if domain.endswith("*") and domain != "*" and name.startswith(domain[:-1])]
        best = max(ends, key=len, default="") or max(starts, key=len, default="") or "*"
        return self._domains.get(best, "")


def _fits(route: Route, path: str) -> bool:
    """Return whether a route may take a path: one by a regular expression may take any."""
    if route.location.startswith("= "):
        return path == route.location.removeprefix("= ")
    if route.location.startswith("~"):
        return path.startswith(_beginning(route.location.removeprefix("~ ")))
    return path.startswith(route.location or "/")


def _beginning(regex: str) -> str:
    """Return the text that each match of a regular expression begins with, as far as it is plain."""
    match = _PLAIN.match(regex)
    plain = match[0] if match and "|" not in regex else ""
    return plain[:-1] if regex[len(plain) : len(plain) + 1] in ("*", "?", "{") else plain


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's virtual hosts, and the function that finds the route of a path."""
    matcher = Matcher(proxy.routes)
    return matcher.hosts, lambda path, server, _is_passed: matcher.find(path, server)
