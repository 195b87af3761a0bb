"""Servers of one configuration that pass requests to each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.listening import accepts
from why502.gateways.listens import accepts_target
from why502.model.config import Route, Server
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.model.target import Target

_HOPS = 5
_CLIENTS = lazy(r"https?://\$\{?(?:http_host|host)\}?(?::\$\{?server_port\}?)?(?:/.*|\$.*)?")


@rule(193, "own-server-speaks-otherwise", Severity.ERROR, "wrong-protocol")
def speaks_otherwise(deployment: Deployment) -> Iterator[Risk]:
    """A server passes to another server of the same configuration in a protocol that this one does not speak.

    `https://` to a `listen` without `ssl`, plain HTTP to one with `ssl`, or either to one with `proxy_protocol`, which the http
    module cannot send. Every request gets 502 or 400.
    """
    listens = _listens(deployment)
    for route, target in _to_loopback(deployment):
        found = listens.get(target.port, [])
        words = [set(listen.split()[1:]) for _, listen in found]
        if not words or not all(accepts_target(listen.split()[0], target) for _, listen in found):
            continue
        tls = ["ssl" in each for each in words]
        message = ""
        if route.protocol == "https" and not any(tls):
            message = f"{target} is a server of this configuration, and it has no TLS"
        elif route.protocol == "http" and all(tls):
            message = f"{target} is a server of this configuration, and it takes only TLS"
        elif all("proxy_protocol" in each for each in words):
            message = f"{target} is a server of this configuration, and it waits for the PROXY protocol"
        if message:
            yield risk(message, route.at, "make the scheme and the `listen` agree")


@rule(194, "servers-in-a-circle", Severity.ERROR, "proxy-loop")
def circle(deployment: Deployment) -> Iterator[Risk]:
    """Servers of one configuration pass requests to each other in a circle, or on to a server that refuses the Host.

    Each request goes round until the connections of the worker run out. A server that answers with 444 closes the connection:
    502.
    """
    servers_at = cache(deployment.matcher.at)
    closing = {server.at for server in deployment.servers if _closes(deployment, server)}
    for route, target in _to_loopback(deployment):
        chain, here, place = [route], route, target
        while len(chain) <= _HOPS:
            host = _host(here)
            if "$" in host:
                break
            path = here.uri or here.location.split(" ")[-1] or "/"
            following = servers_at(place).find(host, path, place.port)
            if following is None:
                if _server_of(deployment, place, host) in closing:
                    yield risk(f"{place} closes the connection for the Host {host}", route.at, "send a Host that it knows")
                break
            if following in chain:
                if following == route and len(chain) > 1:
                    yield risk(f"{target} passes the request back here", route.at, "pass one of them to the application")
                break
            peers = [peer.target for peer in deployment.peers(following) if peer.target is not None]
            if following.if_conditions or following.has_variables or len(peers) != 1 or not _is_own(deployment, peers[0]):
                break
            chain, here, place = [*chain, following], following, peers[0]


@rule(195, "client-chooses-the-target", Severity.NOTE, "proxy-loop")
def chosen_by_client(deployment: Deployment) -> Iterator[Risk]:
    """The client's Host header is the target.

    A request for the proxy's own address goes round until the connections of the worker run out. Any other name makes it an open
    proxy.
    """
    for level, directive in deployment.uses("proxy_pass"):
        if directive.args and _CLIENTS.fullmatch(directive.args[0]):
            server = level.server
            names = [name for each in (server.own("server_name") if server else ()) for name in each.args]
            if not any(name not in ("_", "") for name in names) or "http_host" in directive.args[0]:
                yield risk(f"the client chooses the target of {directive.args[0]}", directive.at, "name the backend")


def _to_loopback(deployment: Deployment) -> Iterator[tuple[Route, Target]]:
    """Yield the unconditional routes to one address of this machine at which this configuration listens."""
    if not deployment.is_whole:
        return
    ports = {listen.port for listen in deployment.configuration.listens}
    for route, _, target in deployment.local_peers:
        if target.port not in ports or len(route.peers) != 1 or route.protocol not in ("http", "https"):
            continue
        if route.has_variables or route.if_conditions or route.location.startswith(("~", "@")):
            continue
        if not any(name in route.settings for name in ("allow", "limit_except")) and _is_own(deployment, target):
            level = deployment.level(route)
            if level is not None and level.is_known:
                yield route, target


def _is_own(deployment: Deployment, target: Target) -> bool:
    if target.is_unix or not (target.is_loopback or target.is_wildcard):
        return False
    return any(listen.port == target.port and accepts(listen, target) for listen in deployment.configuration.listens)


def _listens(deployment: Deployment) -> dict[int, list[tuple[Server, str]]]:
    found: dict[int, list[tuple[Server, str]]] = {}
    for server in deployment.servers:
        for listen in server.listens:
            port = listen.split()[0].rpartition(":")[2] if listen.split() else ""
            if port.isdecimal():
                found.setdefault(int(port), []).append((server, listen))
    return found


def _host(route: Route) -> str:
    """Return the Host that a route sends; "$" if it depends on the request."""
    if route.host_header in ("$host", "$http_host", "$server_name"):
        return route.server_names[0] if route.server_names else "$"
    return route.proxy_host if route.host_header == "$proxy_host" else route.host_header


def _server_of(deployment: Deployment, target: Target, host: str) -> object:
    """Return the position of the server that takes a request with this Host at an address; None if that is not clear."""
    found = _listens(deployment).get(target.port, [])
    if any(name.startswith(("~", "*", ".")) for server, _ in found for name in server.names):
        return None
    named = next((server for server, _ in found if host in server.names), None)
    default = next((server for server, listen in found if "default_server" in listen.split()), found[0][0] if found else None)
    chosen = named or default
    return chosen.at if chosen else None


def _closes(deployment: Deployment, server: Server) -> bool:
    level = deployment.block_at(server.at)
    return level is not None and any(directive.args == ("444",) for directive in level.own("return"))
