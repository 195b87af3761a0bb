"""The route of an httpd that a request takes, by the URI in the log.

Sources: modules/proxy/mod_proxy.c (proxy_trans: the ProxyPass of a <Location>, then those of the server in their order, the
first that fits), server/request.c (<Files> and <FilesMatch> match the file's name; sections are merged in this order: <Directory>
from the shortest path to the longest, <DirectoryMatch>, <Files>, <Location>). Rewrites and indexes are not followed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache

from why502.config.configuration import RouteFinder
from why502.gateways.apache.config.access_files import SECTION, is_around
from why502.gateways.nginx.config.match import compiled, path_of
from why502.model.config import Route, Setting
from why502.model.patterns import lazy
from why502.model.proxy import Proxy

EXCLUDED = "ProxyPass !"  # in a route's settings: the paths excluded from proxying by earlier lines
DIRECTORY = "Directory"  # in the settings of a route by SetHandler: the section around it that has a directory
SERVED = "DocumentRoot"  # beside it: each path of a URL with its directory, "" if unknown, in the order in which they are tried
LONGEST = 500  # maximum length of an expression that is tried
_UPGRADE = lazy(r"%\{HTTP:(?:Upgrade|Connection|Sec-WebSocket-\w{1,20})\}", re.IGNORECASE)
_BY_EXPRESSION = ("locationmatch", "filesmatch")


class Matcher:
    """Finds routes. A virtual host is identified by its first name, as in the routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_server: dict[str, list[Route]] = {}
        for route in routes:
            self._by_server.setdefault(route.server, []).append(route)

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of the virtual hosts with routes."""
        return tuple(self._by_server)

    def find(self, uri: str, server: str, *, is_passed: bool = False) -> Route | None:
        """Return the route of a request; None if it has none, or if that is unknown.

        `is_passed`: the request is known to have been proxied. If no path matches, it went to the only handler of scripts: an
        index, or FallbackResource.
        """
        path = path_of(uri)
        routes = self._of(server)
        if any(_may_rewrite(path, route) for route in routes if route.directive.lower() == "rewriterule"):
            return None  # its other conditions are not evaluated
        inside = [route for route in routes if route.location_path and route.directive.lower() == "proxypass"]
        found = next((route for route in reversed(inside) if _is_under(path, route)), None)
        if found is None:
            outside = (route for route in routes if not route.location_path and route.directive.lower().startswith("proxypass"))
            found = next((route for route in outside if _fits(path, route)), None)
        if found is not None:
            return found
        scripts = [route for route in routes if route.directive.lower() == "sethandler"]
        own = [route for route in routes if route.server == server or server in route.server_names]
        served = next((route.settings[SERVED] for route in own if SERVED in route.settings), ())
        file = _file_of(path, served)
        named = {id(route): is_there for route in scripts if (is_there := _is_file_of(path, file, route)) is not False}
        taking = [route for route in scripts if id(route) in named]
        if not taking and not (is_passed and scripts):
            return None
        if not taking or None in named.values():  # the handler depends on a directory that is not known here
            several = taking or [route for route in scripts if not path.endswith("/") or _is_around(route, file) is not False]
            return several[-1] if len({tuple(peer.target for peer in route.peers) for route in several}) == 1 else None
        numbers = {id(route): number for number, route in enumerate(taking)}
        of_host = {id(route) for route in own}
        return max(taking, key=lambda route: (*_rank(route), id(route) in of_host, numbers[id(route)]))

    def may_pass(self, uri: str, server: str) -> bool:
        """Return whether a request may go to a backend: by a ProxyPass, or by a rule that is not evaluated here."""
        path, routes = path_of(uri), self._of(server)
        return self.find(uri, server) is not None or any(
            route.directive.lower() == "rewriterule" and _may_rewrite(path, route) for route in routes
        )

    def _of(self, server: str) -> list[Route]:
        """Return the routes of a virtual host, and those of all hosts."""
        if server in self._by_server:
            return [*self._by_server[server], *(self._by_server.get("", ()) if server else ())]
        return [route for routes in self._by_server.values() for route in routes if server in route.server_names]


def _may_rewrite(path: str, route: Route) -> bool:
    """Return whether a RewriteRule may take a request: of a directory it sees the path without its first slash.

    One for WebSockets only takes no other request.
    """
    if any(_UPGRADE.search(condition) for condition in route.if_conditions):
        return False
    expression = _compiled(route.location)
    kind, _, base = route.location_path[0].partition(" ") if route.location_path else ("", "", "")
    if kind == SECTION and not _is_below(path, base):
        return False
    seen = (path.removeprefix(base).removeprefix("/"),) if kind == SECTION else (path, path.removeprefix("/"))
    return expression is None or any(expression.search(each) for each in seen)


def _fits(path: str, route: Route) -> bool:
    """Return whether a ProxyPass or ProxyPassMatch of the server matches a path that no earlier line excludes."""
    excluded = route.settings.get(EXCLUDED, ())
    if any(_is_below(path, setting.args[0]) for setting in excluded if setting.args):
        return False
    return _matches(route.location, path) if route.directive.lower() == "proxypassmatch" else _is_below(path, route.location)


def _is_under(path: str, route: Route) -> bool:
    """Return whether a path is in the section around a route."""
    kind = route.location_path[0].partition(" ")[0].lower() if route.location_path else ""
    if kind in _BY_EXPRESSION:
        return _matches(route.location, path)
    return _is_below(path, route.location)


def _rank(route: Route) -> tuple[int, int, int]:
    """Return what sorts the handlers of one file in the order in which httpd merges their sections: the last one is in force."""
    kind = route.location_path[0].partition(" ")[0].lower() if route.location_path else ""
    around, _, place = setting.args[0].partition(" ") if (setting := route.setting(DIRECTORY)) else ("", "", "")
    is_expression = around.lower() == "directorymatch"
    depth = 0 if is_expression else 2 * len([part for part in place.split("/") if part])
    return (
        2 if kind.startswith("location") else 1 if kind.startswith("files") else 0,
        int(is_expression),
        depth + (around == SECTION),  # such a file is merged after the sections of its directory
    )


def _file_of(path: str, served: Iterable[Setting]) -> str:
    """Return the file that a path names; "" if that is unknown."""
    for prefix, directory in (each.args for each in served):
        if prefix.startswith("~ "):
            expression = _compiled(prefix[2:])
            is_such = expression is None or expression.search(path) is not None
        else:
            is_such = prefix == "/" or _is_below(path, prefix.rstrip("/"))
        if is_such:
            return posixpath.join(directory, path.removeprefix(prefix).lstrip("/")) if directory else ""
    return ""


def _is_around(route: Route, file: str) -> bool | None:
    """Return whether a file is in the directory around a handler, if there is one; None if that is unknown."""
    setting = route.setting(DIRECTORY)
    if setting is None:
        return True
    kind, _, place = setting.args[0].partition(" ")
    directory = posixpath.dirname(file)
    if not file:
        return None
    if kind.lower() != "directorymatch":
        return is_around(place.strip('"'), directory)
    expression = _compiled(place)
    return None if expression is None else expression.search(directory + "/") is not None


def _is_file_of(path: str, file: str, route: Route) -> bool | None:
    """Return whether a path names a file in the sections around a handler, of which a <Location> is a path; None if that is
    unknown.
    """
    kind = route.location_path[0].partition(" ")[0].lower() if route.location_path else ""
    if not kind:
        return True
    if kind.startswith("location"):
        return _is_under(path, route)
    if kind == SECTION.lower():
        return _is_below(path, route.location)
    return _is_around(route, file) if kind.startswith("directory") or _has_name(path, route, kind) else False


def _has_name(path: str, route: Route, kind: str) -> bool:
    """Return whether a part of a path has a name that a <Files> or <FilesMatch> means."""
    parts = [part for part in path.split("/") if part]
    if kind == "filesmatch":
        return any(_matches(route.location, part) for part in parts)
    glob = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in route.location)
    return any(_matches(f"^{glob}$", part) for part in parts)


def _is_below(path: str, prefix: str) -> bool:
    """Return whether a path equals a prefix or is below it, compared like alias_match() of mod_proxy: whole segments only."""
    if not prefix.startswith("/"):
        return False
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _matches(pattern: str, path: str) -> bool:
    expression = _compiled(pattern)
    return expression is not None and expression.search(path) is not None


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    return compiled(pattern, False) if len(pattern) <= LONGEST else None


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's servers, and the function that finds the route of a path."""
    matcher = Matcher(proxy.routes)
    return tuple(sorted(matcher.servers)), lambda path, server, is_passed: matcher.find(path, server, is_passed=is_passed)
