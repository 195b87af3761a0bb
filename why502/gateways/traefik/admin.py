"""Traefik's API: its routers, and its view of the servers of each service.

A server is UP there unless a health check says otherwise, so without a check it counts as unchecked.
Source: doc.traefik.io/traefik/operations/api; github.com/traefik/traefik/v3 pkg/api, pkg/config/runtime ("Servers are considered
UP by default").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from why502.config.yaml_text import Item, of_plain
from why502.gateways.admin import AdminView, Asking, Door
from why502.gateways.running import Texts
from why502.gateways.traefik.config.dynamic import FILE, Parts, configured, target_of, unused_route
from why502.gateways.traefik.config.fields import part, read
from why502.gateways.traefik.config.rules import hosts_and_paths
from why502.gateways.traefik.config.static import ARGUMENTS, ENVIRONMENT, Static, of_arguments, of_environment, understood
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, PeerState, PeerView, Proxy, UnusedRoute
from why502.model.target import Target

SERVICES, ROUTERS, VERSION = "/api/http/services?per_page=1000", "/api/http/routers?per_page=1000", "/api/version"
_INTERNAL = "internal"  # the provider of its own routers and services
_API = "api@internal"


def doors(proxy: Proxy, process: Process, texts: Texts, environment: Mapping[str, str]) -> Iterator[Door]:
    """Yield where its API may be: on its own entry point if it is insecure, else behind a router of `api@internal`.

    Raises HostError if it has none that may be asked, although routes come from elsewhere than files.
    """
    written = {ARGUMENTS: of_arguments(process.argv[1:]), ENVIRONMENT: of_environment(environment)}
    static = understood(written.get(proxy.config) or dict(texts).get(proxy.config, ""), proxy.config)
    dynamic = [(file, text) for file, text in texts if file != proxy.config]
    own = (
        Door(target=Target(host=host, port=port), named_by=f"api.insecure in {static.file}") for host, port in static.api_doors()
    )
    found = [*own, *_behind_routers(static, dynamic)]
    if not found and proxy.routes_elsewhere:
        raise HostError(
            "some of its routes come from another provider than files, and its API is not enabled where it could be asked",
            "enable `api` on an entry point of the loopback interface, without TLS and without middlewares",
        )
    yield from found


def _behind_routers(static: Static, texts: Texts) -> Iterator[Door]:
    """Yield the entry points at which a router leads to the API, with the host that its rule wants."""
    for file, text in texts:
        tree, _ = read(text, file)
        for router in part(tree, "http", "routers").members.values():
            if part(router, "service").text != _API or part(router, "tls") or part(router, "middlewares"):
                continue
            hosts, _ = hosts_and_paths(part(router, "rule").text)
            for item in part(router, "entryPoints"):
                point = static.entry_points.get(item.text.lower())
                host, _, port = point.address.partition("/")[0].rpartition(":") if point else ("", "", "")
                if point and not point.is_tls and port.isdecimal():
                    target = Target(host=host.strip("[]"), port=int(port))
                    yield Door(target=target, named_by=file, host_header=hosts[0] if hosts else "")


def look(ask: Asking, proxy: Proxy) -> AdminView:
    """Return its servers, the routers and services that it could not use, and what other providers than files gave it."""
    services, routers = of_plain(ask.json(SERVICES)), of_plain(ask.json(ROUTERS))
    if not isinstance(services.value, tuple) or not isinstance(routers.value, tuple):
        raise HostError(f"{ask.door.target}: its answer to {SERVICES} is not a list")
    parts = _elsewhere(routers, services)
    routes, groups, _ = configured(parts, understood("", ""))
    return AdminView(
        peers=tuple(view for service in services for view in _views(service)),
        problems=tuple(problem for item in (*routers, *services) for problem in _problems(item)),
        routes=(*proxy.routes, *routes) if routes else None,
        upstreams=(*proxy.upstreams, *groups) if groups else None,
        unused_routes=tuple(_unused(routers)),
        version=_version(ask),
    )


def _elsewhere(routers: Iterable[Item], services: Iterable[Item]) -> Parts:
    """Return the routers of other providers than files, and every service."""
    parts = Parts()
    for item in routers:
        if part(item, "provider").text not in (FILE, _INTERNAL) and part(item, "status").text != "disabled":
            parts.routers[part(item, "name").text] = item
    for item in services:
        parts.services[part(item, "name").text] = item
    return parts


def _views(service: Item) -> Iterator[PeerView]:
    """Yield what it says about each server of a service."""
    balancer = part(service, "loadBalancer")
    states = part(service, "serverStatus").members
    is_checked = bool(part(balancer, "healthCheck"))
    for server in part(balancer, "servers"):
        url = part(server, "url").text
        status = states[url].text if url in states else ""
        is_down = status.upper() == "DOWN"
        check = part(balancer, "healthCheck", "path").text
        yield PeerView(
            group=part(service, "name").text,
            name=url,
            target=target_of(url),
            state=PeerState.DOWN if is_down else PeerState.UP if is_checked else PeerState.UNCHECKED,
            check=f"serverStatus {status}" if status else "",
            reason=f"its health check of {check} fails" if is_down and check else "",
            source=SERVICES.partition("?")[0],
        )


def _problems(item: Item) -> Iterator[ConfigProblem]:
    """Yield why a router or service is not in use, or only in part."""
    for error in (*part(item, "error"), *part(item, "err")):
        yield ConfigProblem(message=f"{part(item, 'name').text}: {error.text}", source="the API of Traefik")


def _unused(routers: Iterable[Item]) -> Iterator[UnusedRoute]:
    """Yield the routers of every provider that it does not use, with all its reasons."""
    for item in routers:
        if part(item, "status").text == "disabled":
            reasons = [error.text for error in (*part(item, "error"), *part(item, "err")) if error.text]
            reason = "; ".join(dict.fromkeys(reasons)) or "its API calls it disabled"
            yield unused_route(part(item, "name").text, item, reason, ROUTERS.partition("?")[0])


def _version(ask: Asking) -> str:
    try:
        return part(of_plain(ask.json(VERSION)), "version").text
    except HostError:
        return ""
