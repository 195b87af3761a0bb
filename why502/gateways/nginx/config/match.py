"""The route of a request: selection of the server by address and name, and of the location by URI.

It follows src/http/ngx_http_core_module.c (ngx_http_find_virtual_server, ngx_http_core_find_location), with the URI in a log.
Rewrites and internal redirects are followed as far as the configuration alone determines them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from urllib.parse import unquote

import msgspec

from why502.config.configuration import RouteFinder
from why502.gateways.nginx.config.variables import is_in
from why502.model.config import Location, Route, Server
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.target import Target
from why502.model.times import whole_number

MAX_REDIRECTS = 10
MAX_URI = 2048
_CACHED = 4096
EVERY = "0.0.0.0"
# A nested repeated group: a log line could keep such an expression busy for hours.
_RISKY = lazy(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)[*+{]")


class _Undecidable(Exception):
    """The answer depends on an expression that we do not evaluate."""


class _Place(msgspec.Struct, frozen=True):
    """A location in its tree. `expression`: None if it is a prefix or exact, or an expression that Python does not support."""

    location: Location
    modifier: str
    name: str
    expression: re.Pattern[str] | None
    inner: _Places


class _Places:
    """The locations of one level, in configuration order and by name."""

    def __init__(self, places: Sequence[_Place] = ()) -> None:
        self.by_name: dict[str, _Place] = {}
        self.exact: dict[str, _Place] = {}
        self.prefixes: dict[str, _Place] = {}
        for place in places:
            self.by_name.setdefault(place.name, place)
            if place.modifier == "=":
                self.exact.setdefault(place.name, place)
            elif place.modifier in ("", "^~"):
                self.prefixes.setdefault(place.name, place)
        self.expressions = tuple(place for place in places if place.modifier in ("~", "~*"))
        self._lengths = sorted({len(name) for name in self.prefixes}, reverse=True)

    def longest_prefix(self, uri: str) -> _Place | None:
        """Return the prefix location with the longest name that a URI begins with."""
        for length in self._lengths:
            if length <= len(uri) and (found := self.prefixes.get(uri[:length])):
                return found
        return None


_NONE = _Places()


@dataclass(frozen=True)
class _Host:
    """A server, prepared for lookups."""

    server: Server
    ports: frozenset[int] | None  # None: it listens on a range or a socket, so any port matches
    default_ports: frozenset[int | None]
    exact: frozenset[str]
    wild: tuple[str, ...]
    expressions: tuple[re.Pattern[str] | None, ...]

    @cached_property
    def places(self) -> _Places:
        """Its locations, built on the first request: few of thousands of servers are used."""
        return _tree(self.server.locations)


class Matcher:
    """Finds routes. Without `servers` it knows only locations that lead to a backend.

    The index of servers is built on first use: most snapshots of very many servers need few lookups.
    """

    def __init__(self, routes: Iterable[Route], servers: Sequence[Server] = ()) -> None:
        self._http = [route for route in routes if route.protocol != "tcp"]
        self._servers = servers
        self._cache: dict[tuple[str, str, int | None, str | None], Route | None] = {}

    @cached_property
    def _routes(self) -> dict[tuple[object, tuple[str, ...]], list[Route]]:
        found: dict[tuple[object, tuple[str, ...]], list[Route]] = {}
        for route in self._http:
            found.setdefault((route.server_at, route.location_path), []).append(route)
        return found

    @cached_property
    def _hosts(self) -> list[_Host]:
        return [_host(server) for server in self._servers or _servers(self._http)]

    @cached_property
    def _by_first_name(self) -> dict[str, list[_Host]]:
        return _grouped((_first_name(found), found) for found in self._hosts)

    @cached_property
    def _by_name(self) -> dict[str, list[_Host]]:
        return _grouped((name, found) for found in self._hosts for name in found.exact)

    @cached_property
    def _wildcards(self) -> list[tuple[str, _Host]]:
        return [(wild, found) for found in self._hosts for wild in found.wild]

    @cached_property
    def _with_expressions(self) -> list[_Host]:
        return [found for found in self._hosts if found.expressions]

    @cached_property
    def _defaults(self) -> list[_Host]:
        return [found for found in self._hosts if found.default_ports]

    def at(self, target: Target) -> Matcher:
        """Return a matcher of only the servers that accept connections to an address: those listening on exactly that, else on
        all.

        If no such server is known, it includes all servers. [ngx_http_find_virtual_server: an address has its own servers]
        """
        family = "::" if ":" in target.host else EVERY
        host = "127.0.0.1" if target.host == "localhost" else target.host
        for wanted in dict.fromkeys((host, family)):
            there = [found for found in self._hosts if _takes(found.server, wanted, target.port)]
            if there:
                other = Matcher(self._http, self._servers)
                other._hosts = there
                return other
        return self

    def find(self, host: str, uri: str, port: int | None = None, server: str | None = None) -> Route | None:
        """Return the route of a request; None if none leads to a backend, or if it is ambiguous.

        `host`: of the request, with or without port. `uri`: as requested. `port`: the proxy's port for the request, if known.
        `server`: the server's first name, as in error logs; it takes precedence over `host`.
        """
        key = (host, uri, port, server)
        if key not in self._cache:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = self._first(self._candidates(host, port, server), path_of(uri))
        return self._cache[key]

    def place(self, host: str, uri: str, server: str | None = None) -> tuple[str, str] | None:
        """Return the server and the location that take a request, whether or not they lead to a backend; None if unknown.

        Both as written: the server's first name, and the location, which is "" for the server itself. See `find`.
        """
        found = next(iter(self._candidates(host, None, server)), None)
        if found is None:
            return None
        try:
            place = _locate(found.places, path_of(uri))[1]
        except _Undecidable:
            return None
        return _first_name(found), place.location.path[-1] if place else ""

    def _first(self, hosts: Iterable[_Host], path: str) -> Route | None:
        for found in hosts:
            try:
                if route := self._walk(found, path):
                    return route
            except _Undecidable:
                return None
        return None

    def _candidates(self, host: str, port: int | None, server: str | None) -> list[_Host]:
        """Return the servers that may have accepted the request; several if the port is unknown."""
        if server is not None and (named := self._by_first_name.get(server)):
            return named

        def is_there(found: _Host) -> bool:
            return port is None or found.ports is None or port in found.ports

        name = re.sub(r":\d+$", "", host.strip().lower()).rstrip(".")
        if exact := [found for found in self._by_name.get(name, ()) if is_there(found)]:
            return exact
        for is_leading in (True, False):
            fits = [(len(wild), found) for wild, found in self._wildcards if _fits(wild, name, is_leading) and is_there(found)]
            if fits:
                longest = max(length for length, _ in fits)
                return [found for length, found in fits if length == longest]
        for candidate in filter(is_there, self._with_expressions):
            for expression in candidate.expressions:
                if expression is None:
                    return []
                if expression.search(name):
                    return [candidate]
        chosen = [found for found in self._defaults if is_there(found) and (not port or port in found.default_ports)]
        return chosen or list(islice(filter(is_there, self._hosts), 1))

    def _walk(self, host: _Host, path: str) -> Route | None:
        """Return the route of a path after internal redirects."""
        waiting, seen = [path], set[str]()
        while waiting and len(seen) < MAX_REDIRECTS:
            uri = waiting.pop(0)
            if uri in seen:
                continue
            seen.add(uri)
            place = host.places.by_name.get(uri) if uri.startswith("@") else _locate(host.places, uri)[1]
            where = place.location.path if place else ()
            if routes := self._routes.get((host.server.at, where)):
                return next((route for route in routes if not route.if_conditions), routes[0])
            for target in place.location.goes_on_to if place else host.server.goes_on_to:
                waiting.extend(_redirected(target, uri))
        return None


def _first_name(host: _Host) -> str:
    return (host.server.names or ("",))[0]


def _grouped(pairs: Iterable[tuple[str, _Host]]) -> dict[str, list[_Host]]:
    found: dict[str, list[_Host]] = {}
    for name, host in pairs:
        found.setdefault(name, []).append(host)
    return found


def _takes(server: Server, host: str, port: int) -> bool:
    """Return whether a server listens on exactly that; also True for a range of ports, which is not parsed here."""
    for listen in server.listens:
        address = listen.split()[0] if listen.split() else ""
        if address.startswith("unix:"):
            continue
        bracket, found, tail = address.rpartition("]")
        where, _, number = (bracket.strip("["), "", tail.lstrip(":")) if found else address.rpartition(":")
        if not found and not where and not number.replace("-", "").isdigit():  # an address alone
            where, number = number, ""
        if "-" in number or (int(number or 80) == port and where.replace("*", "") in (host, "" if host == EVERY else host)):
            return True
    return False


def route_for(routes: Iterable[Route], host: str, uri: str) -> Route | None:
    """Return the route of a request for this host and URI; for many requests create one Matcher."""
    return Matcher(routes).find(host, uri)


def _locate(places: _Places, uri: str) -> tuple[bool, _Place | None]:
    """Return the location of a URI, and whether it excludes expressions of an outer level."""
    if (exact := places.exact.get(uri)) is not None:
        return True, exact
    chosen = best = places.longest_prefix(uri)
    if chosen is not None:
        is_final, nested = _locate(chosen.inner, uri)
        best = nested or chosen
        if is_final:
            return True, best
    if chosen is None or chosen.modifier != "^~":
        for place in places.expressions:
            if place.expression is None:
                raise _Undecidable
            if place.expression.search(uri):
                return True, _locate(place.inner, uri)[1] or place
    return False, best


def _redirected(target: str, uri: str) -> list[str]:
    """Return the URIs that a redirect may lead to; [] if they are unknown."""
    if target.startswith("@"):
        return [target]
    target = target.split("?", 1)[0]
    if is_in(target):
        return []
    if target.startswith("/"):
        return [target]
    return [posixpath.join(uri, target)] if uri.endswith("/") else []


def path_of(uri: str) -> str:
    """Return a request's URI as nginx compares it: decoded, without arguments, dots and doubled slashes."""
    uri = re.sub(r"^[a-z]+://[^/?#]*", "", uri[:MAX_URI], flags=re.IGNORECASE)
    path = unquote(re.split(r"[?#]", uri, maxsplit=1)[0], errors="surrogateescape")
    path = re.sub(r"/{2,}", "/", "/" + path.lstrip("/"))
    if "/." not in path:
        return path
    is_directory = path.endswith(("/", "/.", "/.."))
    normal = posixpath.normpath(path)
    return normal + "/" if is_directory and normal != "/" else normal


def _fits(wild: str, name: str, is_leading: bool) -> bool:
    if is_leading:
        return wild.startswith("*.") and name.endswith(wild[1:])
    return wild.endswith(".*") and name.startswith(wild[:-1])


@lru_cache(1024)
def _ports(listens: tuple[str, ...]) -> tuple[frozenset[int] | None, frozenset[int | None]]:
    """Return the ports that a server listens on (None: any), and those for which it is the default."""
    ports: set[int] | None = set()
    defaults = set()
    for listen in listens:
        address, *words = listen.split() or [""]
        port = _port(address)
        ports = ports | {port} if ports is not None and port is not None else None
        if {"default_server", "default"} & set(words):
            defaults.add(port)
    return None if ports is None else frozenset(ports), frozenset(defaults)


def _host(server: Server) -> _Host:
    ports, defaults = _ports(server.listens)
    names = [name.lower() for name in server.names if not name.startswith("~")]
    dotted = [name for name in names if name.startswith(".")]
    return _Host(
        server=server,
        ports=ports,
        default_ports=defaults,
        exact=frozenset(name.removeprefix(".") for name in names if "*" not in name),
        wild=(*(name for name in names if "*" in name), *(f"*{name}" for name in dotted)),
        expressions=tuple(compiled(name[1:], True) for name in server.names if name.startswith("~")),
    )


def _tree(locations: Sequence[Location], depth: int = 0) -> _Places:
    """Return the locations of one level with their nested ones, in configuration order."""
    inside: dict[str, list[Location]] = {}
    for location in locations:
        if len(location.path) > depth:
            inside.setdefault(location.path[depth], []).append(location)
    out = []
    for written, group in inside.items():
        modifier, _, name = written.partition(" ") if re.match(r"(?:=|\^~|~\*|~) ", written) else ("", "", written)
        own = next((location for location in group if len(location.path) == depth + 1), None)
        location = own or Location(path=group[0].path[: depth + 1])
        expression = compiled(name, modifier == "~*") if modifier in ("~", "~*") else None
        within = [x for x in group if len(x.path) > depth + 1]
        inner = _tree(within, depth + 1) if within else _NONE
        out.append(_Place(location, modifier, name, expression, inner))
    return _Places(out)


def compiled(pattern: str, is_caseless: bool) -> re.Pattern[str] | None:
    """Return a PCRE expression as Python's; None if Python does not support it, or it could take too long."""
    if _RISKY.search(pattern):
        return None
    try:
        return re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern), re.IGNORECASE if is_caseless else 0)
    except (re.error, OverflowError, RecursionError):
        return None


def _port(address: str) -> int | None:
    """Return the port of a `listen`; None for a socket's path or a range."""
    if address.startswith("unix:"):
        return None
    tail = address.rsplit("]", 1)[-1]
    last = tail.rsplit(":", 1)[-1] if ":" in tail or tail.replace("-", "").isdigit() else "80"
    return whole_number(last, 5)


def _servers(routes: Iterable[Route]) -> list[Server]:
    """Return the servers of the routes, only with locations that have a route."""
    grouped: dict[object, list[Route]] = {}
    for route in routes:
        grouped.setdefault(route.server_at or route.server_names, []).append(route)
    return [
        Server(
            names=group[0].server_names,
            listens=group[0].listens,
            at=group[0].server_at,
            locations=tuple(Location(path=path) for path in dict.fromkeys(route.location_path for route in group) if path),
        )
        for group in grouped.values()
    ]


_KEPT = 8
_made: dict[tuple[int, int], tuple[Sequence[Route], Sequence[Server], Matcher]] = {}


def of_proxy(proxy: Proxy) -> Matcher:
    """Return the matcher of a proxy, cached for the same routes, since an index of 20,000 servers takes time."""
    key = (id(proxy.routes), id(proxy.servers))
    if (found := _made.get(key)) is None:  # the entry keeps both alive, so that no other object gets their id
        if len(_made) >= _KEPT:
            _made.clear()
        found = _made[key] = (proxy.routes, proxy.servers, Matcher(proxy.routes, proxy.servers))
    return found[2]


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's servers, and the function that finds the route of a path."""
    matcher = of_proxy(proxy)
    names = dict.fromkeys(server.names[0] if server.names else "" for server in proxy.servers)
    return tuple(names), lambda path, server, _: matcher.find(server, path, server=server)


def placer(proxy: Proxy) -> Callable[[str, str], tuple[str, str] | None]:
    """Return the function that finds the server and the location of a path on a server: see `Matcher.place`."""
    matcher = of_proxy(proxy)
    return lambda path, server: matcher.place(server, path, server)
