"""The proxy passes requests to itself.

The target is one of the proxy's own listeners, and the server block there passes the request to the same target again. This ends
when worker_connections are used up, when the header grows too large, or at a timeout. The log shows many lines whose client is
the proxy's own address.

## Do not confuse with
- `worker-connections-exhausted`: real clients use up the connections.

## Confirm
- Compare the target of the route with `listen`, and the Host header it sends with `server_name`.

## Fix
- Point the route at the application's own address.

## References
- https://nginx.org/en/docs/http/request_processing.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.listening import WIDE, accepts
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config.match import Matcher
from why502.model.config import Route
from why502.model.finding import PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.remedy import Remedy
from why502.model.target import Target
from why502.remedies.changes import doubt, reload, set_peer_addresses

HOPS = 10  # of a request within one gateway
_OWN_HOST = ("$host", "$http_host", "$server_name", "$host:$server_port", "$http_host:$server_port")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target = case.target
    if target is None:
        return
    if back := _comes_back(case, target):
        yield supports(back, str(case.route.at or "") if case.route else "", PROOF)
        return
    for proxy in case.proxies:
        for listen in proxy.listens:
            if not accepts(listen, target) or not case.shares_network:
                continue
            matcher = Matcher(proxy.routes, proxy.servers)
            looping = [route for route in case.routes if route in proxy.routes and _returns(route, target, proxy, matcher)]
            if looping and (case.failures or (case.here.logs and case.anywhere(Symptom.WORKER_CONNECTIONS))):
                yield supports(
                    f"the proxy itself listens on {listen}, and its route there leads to {target} again",
                    str(looping[0].at or ""),
                    PROOF,
                )
                if case.anywhere(Symptom.WORKER_CONNECTIONS):
                    yield supports("its own connections ran out", case.anywhere(Symptom.WORKER_CONNECTIONS)[0].source, STRONG)
                return


def _comes_back(case: Case, target: Target) -> str:
    """Return a message that the proxy itself binds the target and passes everything it accepts there to the target again;
    "" otherwise.
    """
    proxy = case.proxy
    if proxy is None or not behaviour(proxy.kind).binds_lead_to_routes or not case.shares_network or not case.failures:
        return ""
    here = [(route, word) for route in proxy.routes for word in route.listens if _binds(word, target)]
    if not here or any(target not in (peer.target for peer in route.peers) for route, _ in here):
        return ""
    return f"{proxy.kind} itself binds {here[0][1].split()[0]}, and what comes in there goes to {target} again"


def _binds(word: str, target: Target) -> bool:
    """Return whether a `bind` line, such as `:80` or `*:443 ssl`, accepts connections to a target."""
    host, _, port = word.split(" ")[0].rpartition(":")
    host = re.sub(r"^ipv[46]@", "", host).strip("[]")
    if not port.isdecimal() or len(port) > 5:
        return False
    return accepts(Target(host="0.0.0.0" if host in ("", "*") else host, port=int(port)), target)


def _returns(first: Route, target: Target, proxy: Proxy, matcher: Matcher) -> bool:
    """Return whether a request that a route passes to that target, one of the proxy's own, reaches the same route again.

    The Host header selects the server block. Another one on the same port may pass the request elsewhere, or answer it.
    """
    route, seen = first, list[Route]()
    while route not in seen and len(seen) < HOPS:
        seen.append(route)
        own = route.host_header in _OWN_HOST
        host = (first.server_names[0] if first.server_names else "") if own else _sent(route)
        if "$" in host:
            return False
        place = route.location.split(" ")[-1]
        found = matcher.at(target).find(host, route.uri or (place if place.startswith("/") else "/"), target.port)
        if found is None:
            return False
        peers = [peer.target for peer in found.peers if peer.target is not None]
        own_ports = [to for to in peers if any(accepts(listen, to) for listen in proxy.listens)]
        if not own_ports:
            return False
        route, target = found, own_ports[0]
    return True


def _sent(route: Route) -> str:
    return route.proxy_host if route.host_header == "$proxy_host" else route.host_header


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the address of the one application that no route leads to."""
    if len(case.unclaimed_listeners) == 1 and case.target is not None:
        listener = case.unclaimed_listeners[0]
        changes = set_peer_addresses(case, listener.target, case.route)
        message = (
            f"let the proxy connect to {listener.target}, where {case.name_of(listener)} listens, if that is the intended "
            f"application{doubt(case, listener.target)}"
        )
        yield Remedy(message=message, steps=(*changes, *reload(case.proxy)) if changes else ())


@rule(66, "passes-to-itself", Severity.ERROR)
def to_itself(deployment: Deployment) -> Iterator[Risk]:
    """A server passes requests to its own address, and receives them again.

    Each request loops until worker_connections run out. All clients then get 502 and 500.
    """
    own: dict[int, set[Target]] = {}
    for listen in deployment.configuration.listens:
        if not listen.is_unix and (listen.host in WIDE or listen.is_loopback):
            own.setdefault(listen.port, set()).add(listen)
    servers_at = cache(deployment.matcher.at)
    told: Route | None = None
    for route, peer, target in deployment.local_peers if deployment.is_whole else ():
        if target.port not in own or target.is_unix or route is told:
            continue
        if route.protocol not in ("http", "https") or route.has_variables or route.if_conditions:
            continue
        if any(name in route.settings for name in ("allow", "limit_except")) or route.location.startswith(("~", "@")):
            continue
        level = deployment.level(route)
        if level is None or level.own("rewrite"):  # the path may belong to another location
            continue
        if not level.is_known:  # the listen address may be in a file that could not be read
            continue
        if not any(accepts(listen, target) for listen in own[target.port]):
            continue
        is_same_name = route.host_header in ("$host", "$http_host", "$server_name")
        sent = route.proxy_host if route.host_header == "$proxy_host" else route.host_header
        host = route.server_names[0] if is_same_name and route.server_names else sent
        if "$" in host:
            continue
        path = route.uri or route.location.split(" ")[-1] or "/"
        if servers_at(target).find(host, path, target.port) == route:
            told = route
            yield risk(f"{peer.name} is this server itself", route.at, "pass to the port of the application")


CAUSE = Cause(
    id="proxy-loop",
    layer=Layer.PROXY,
    message="the proxy passes requests to itself",
    headline="{proxy} passes requests to itself",
    symptoms={Symptom.WORKER_CONNECTIONS: WEAK},
    explains=frozenset({"backend-not-running", "upstream-error-status", "worker-connections-exhausted"}),
    examine=examine,
    remedies=remedies,
    foresee=(to_itself,),
)
