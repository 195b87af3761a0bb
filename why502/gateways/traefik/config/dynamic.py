"""Traefik's dynamic configuration: routers, services and transports, whoever provides them, as routes and groups.

Sources: doc.traefik.io/traefik/reference/dynamic-configuration/file and routing/services; github.com/traefik/traefik/v3
pkg/server/service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from why502.config.yaml_text import NOTHING, Item
from why502.gateways.go_programs import HEADER_BYTES
from why502.gateways.traefik.config.fields import is_true, part, seconds
from why502.gateways.traefik.config.rules import hosts_and_paths
from why502.gateways.traefik.config.static import EntryPoint, Static
from why502.machine.trusted_issuers import BUNDLES
from why502.model.config import PROTOCOL, Peer, Position, Route, Setting, Upstream
from why502.model.proxy import ConfigProblem, UnusedRoute
from why502.model.target import Target

ROUTER = "router"  # setting of a route: the name of its router
FILE = "file"  # the provider of these names, as in `shop@file`
_SCHEMES = {"http": ("http", 80), "https": ("https", 443), "h2c": ("http", 80)}
_DEEPEST = 8  # services that consist of services
_MOST_ROUTES = 4096


@dataclass(slots=True)
class Parts:
    """The parts of a dynamic configuration by qualified name, from all texts of one provider or more."""

    routers: dict[str, Item] = field(default_factory=dict)
    services: dict[str, Item] = field(default_factory=dict)
    transports: dict[str, Item] = field(default_factory=dict)
    middlewares: dict[str, Item] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # the file of each router and service

    def add(self, tree: Item, file: str, provider: str = FILE) -> None:
        """Add what a text or an API answer holds below `http`."""
        kinds = (
            (self.routers, "routers"),
            (self.services, "services"),
            (self.transports, "serversTransports"),
            (self.middlewares, "middlewares"),
        )
        for into, name in kinds:
            for key, item in part(tree, "http", name).members.items():
                full = key if "@" in key else f"{key}@{provider}"
                if full not in into:
                    into[full] = item
                    self.places[f"{name} {full}"] = file


def configured(parts: Parts, static: Static) -> tuple[tuple[Route, ...], tuple[Upstream, ...], tuple[ConfigProblem, ...]]:
    """Return the routes, their groups, and what is wrong with routers."""
    made = _Made(parts, static)
    routes: list[Route] = []
    problems: list[ConfigProblem] = []
    for name, router in parts.routers.items():
        found = list(made.routes(name, router)) if len(routes) < _MOST_ROUTES else []
        routes += found
        problems += made.problems(name, router)
    return tuple(routes), tuple(made.groups.values()), tuple(problems)


def unused_routes(parts: Parts, static: Static) -> tuple[UnusedRoute, ...]:
    """Return the routers that Traefik cannot use, each with the first reason."""
    made = _Made(parts, static)
    return tuple(route for name, router in parts.routers.items() for route in made.unused(name, router))[:_MOST_ROUTES]


def unused_route(name: str, router: Item, reason: str, source: str) -> UnusedRoute:
    """Return a router that is not used, with what its rule takes."""
    hosts, paths = hosts_and_paths(part(router, "rule").text)
    return UnusedRoute(name=name, server_names=hosts, locations=paths, reason=reason, source=source)


@dataclass(slots=True)
class _Made:
    """Makes routes; the groups that they lead to collect by name."""

    parts: Parts
    static: Static
    groups: dict[str, Upstream] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)  # of the routers and services whose place is unknown

    def routes(self, name: str, router: Item) -> Iterator[Route]:
        """Yield a route for each group of servers that a router leads to, and for each of its paths."""
        hosts, paths = hosts_and_paths(part(router, "rule").text)
        points = self._entry_points(router)
        is_tls = bool(part(router, "tls")) or any(point.is_tls for point in points)
        at = self._at(f"routers {name}", router)
        for service, is_backup in self._leaves(self._qualified(part(router, "service").text, name), 0):
            group, transport = self._group(service, is_backup=is_backup)
            first = self._servers(service)[:1]
            scheme = part(first[0], "url").text.partition("://")[0] if first else "http"
            fields, settings = _of_transport(scheme, transport, self.static, at, group.peers)
            for path in paths or ("",):
                yield Route(
                    proxy="traefik",
                    server=hosts[0] if hosts else "",
                    server_names=hosts,
                    listens=tuple(dict.fromkeys(point.address for point in points)),
                    listens_tls=is_tls,
                    location=path,
                    at=at,
                    directive="server",
                    passes=service,
                    upstream=group.name,
                    peers=group.peers,
                    http_version="1.1",
                    buffer_size_bytes=HEADER_BYTES,
                    host_header="$host" if is_true(self._balancer(service, "passHostHeader"), default=True) else "$proxy_host",
                    next_upstream=(),
                    settings={ROUTER: (Setting(args=(name,), at=at),), **settings},
                    **fields,  # type: ignore[arg-type]
                )

    def problems(self, name: str, router: Item) -> Iterator[ConfigProblem]:
        """Yield what a router names that does not exist: its service, an entry point, a middleware."""
        service = self._qualified(part(router, "service").text, name)
        at = self._at(f"routers {name}", router)
        is_ours = service.endswith(f"@{FILE}")
        if is_ours and service not in self.parts.services:
            yield ConfigProblem(message=f"router {name}: the service {service} does not exist", at=at, source="why502")
        for item in self._unknown_points(router):
            yield ConfigProblem(message=f"router {name}: the entry point {item.text} does not exist", at=at, source="why502")
        for middleware in self._unknown_middlewares(name, router):
            yield ConfigProblem(message=f"router {name}: the middleware {middleware} does not exist", at=at, source="why502")

    def unused(self, name: str, router: Item) -> Iterator[UnusedRoute]:
        """Yield the router if Traefik cannot use it: without any entry point, its service, or one of its middlewares."""
        unknown = [item.text for item in self._unknown_points(router)]
        service = self._qualified(part(router, "service").text, name)
        reason = ""
        if unknown and len(unknown) == len(tuple(part(router, "entryPoints"))):
            reason = f"no entry point {' or '.join(unknown)} exists"
        elif service.endswith(f"@{FILE}") and service not in self.parts.services:
            reason = f"the service {service} does not exist"
        elif middleware := next(self._unknown_middlewares(name, router), ""):
            reason = f"the middleware {middleware} does not exist"
        if reason:
            yield unused_route(name, router, reason, str(self._at(f"routers {name}", router)))

    def _unknown_points(self, router: Item) -> list[Item]:
        known = (*self.static.entry_points, "traefik")
        return [item for item in part(router, "entryPoints") if self.static.file and item.text.lower() not in known]

    def _unknown_middlewares(self, name: str, router: Item) -> Iterator[str]:
        """Yield the middlewares of the same provider that do not exist; those of others are not known here."""
        for item in part(router, "middlewares"):
            full = self._qualified(item.text, name)
            if full.endswith(f"@{FILE}") and full not in self.parts.middlewares:
                yield full

    def _entry_points(self, router: Item) -> list[EntryPoint]:
        named = [item.text.lower() for item in part(router, "entryPoints")]
        known = self.static.entry_points
        return [known[name] for name in named if name in known] if named else [one for one in known.values() if one.is_default]

    def _leaves(self, name: str, depth: int, *, is_backup: bool = False) -> Iterator[tuple[str, bool]]:
        """Yield the services with servers that a service consists of, and whether each is only a fallback."""
        item = self.parts.services.get(name, NOTHING)
        if depth > _DEEPEST:
            return
        if part(item, "loadBalancer"):
            yield name, is_backup
        for member in (*part(item, "weighted", "services"), *part(item, "highestRandomWeight", "services")):
            yield from self._leaves(self._qualified(part(member, "name").text, name), depth + 1, is_backup=is_backup)
        if main := part(item, "mirroring", "service").text:
            yield from self._leaves(self._qualified(main, name), depth + 1, is_backup=is_backup)
        for kind in ("service", "fallback"):
            if other := part(item, "failover", kind).text:
                yield from self._leaves(self._qualified(other, name), depth + 1, is_backup=is_backup or kind == "fallback")

    def _group(self, name: str, *, is_backup: bool) -> tuple[Upstream, Item]:
        """Return the group of a service's servers, and its transport."""
        transport = self._balancer(name, "serversTransport").text
        found = self.parts.transports.get(self._qualified(transport, name), NOTHING) if transport else NOTHING
        if name not in self.groups:
            at = self._at(f"services {name}", self.parts.services[name])
            peers = tuple(
                Peer(
                    name=(url := part(server, "url").text or part(server, "address").text),
                    target=target_of(url),
                    at=part(server, "url").at or at,
                    is_backup=is_backup,
                    resolves=True,  # for each connection
                    max_fails=0,
                )
                for server in self._servers(name)
            )
            self.groups[name] = Upstream(name=name, peers=peers, at=at, method=self._balancer(name, "strategy").text or "wrr")
        return self.groups[name], found

    def _balancer(self, name: str, key: str) -> Item:
        return part(self.parts.services.get(name, NOTHING), "loadBalancer", key)

    def _servers(self, name: str) -> tuple[Item, ...]:
        return tuple(self._balancer(name, "servers"))

    def _at(self, key: str, item: Item) -> Position:
        """Return the place of an item. The API and TOML give none; then a number of its own stands for the column, because a
        request is placed at a route by the route's position.
        """
        if item.at:
            return item.at
        number = self.numbers.setdefault(key, len(self.numbers) + 1)
        return Position(file=self.parts.places.get(key, ""), line=1, column=number)

    @staticmethod
    def _qualified(name: str, beside: str) -> str:
        """Return a name with its provider: without one it is of the same provider as the name beside it."""
        return name if "@" in name else f"{name}@{beside.rpartition('@')[2]}"


def target_of(url: str) -> Target | None:
    """Return the address in a server's URL; None if it is none."""
    scheme, found, rest = url.partition("://")
    target = Target.parse(rest.partition("/")[0].rpartition("@")[2] if found else url)
    if target is not None and not target.port and not target.path and scheme in _SCHEMES:
        return Target(host=target.host, port=_SCHEMES[scheme][1])
    return target


def _of_transport(
    scheme: str, transport: Item, static: Static, at: Position, peers: tuple[Peer, ...]
) -> tuple[dict[str, object], dict[str, tuple[Setting, ...]]]:
    """Return the fields of a route that its transport decides, and the settings."""
    timeouts = part(transport, "forwardingTimeouts")
    whole = transport if transport else part(static.tree, "serversTransport")
    found: dict[str, object] = {
        "protocol": _SCHEMES.get(scheme, ("http", 80))[0],
        "connect_timeout_s": seconds(part(timeouts, "dialTimeout"), static.connect_s),
        "send_timeout_s": 0.0,
        "read_timeout_s": seconds(part(timeouts, "responseHeaderTimeout"), 0.0 if transport else static.answer_s),
    }
    if scheme != "https":
        return found, {PROTOCOL: (Setting(args=("h2",), at=at),)} if scheme == "h2c" else {}
    hosts = {peer.target.host if peer.target and not peer.target.is_address else "" for peer in peers}
    name = part(whole, "serverName").text or (hosts.pop() if len(hosts) == 1 else "")
    issuers = part(whole, "rootCAs")
    trusted = next(iter(issuers), issuers)
    verifies = not is_true(part(whole, "insecureSkipVerify"))
    file = trusted.text if trusted.text.startswith("/") else "" if trusted else BUNDLES[0]  # Go trusts what the system trusts
    given = {"trusted_certificate": (file if verifies else "", trusted.at), "verified_name": (name, None)}
    settings: dict[str, tuple[Setting, ...]] = {}
    for key, (value, where) in given.items():
        if value:
            settings[f"server_ssl_{key}"] = (Setting(args=(value,), at=where or at),)
    return {**found, "sends_sni": True, "sni_name": name, "verifies_tls": verifies}, settings
