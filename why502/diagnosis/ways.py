"""The routes that requests take, where a log names no address: by their path, server and protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, islice

import msgspec

from why502 import registry
from why502.config.configuration import RouteFinder
from why502.diagnosis.sums import traffic_sum
from why502.gateways.behaviour import OF_ACCESS_LINES, behaviour
from why502.model.config import Position, Route
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.request_line import uri_of
from why502.model.target import Target

PASSED = frozenset({"502", "503", "504"})  # a gateway sends these for its backends
FAILED = PASSED | {"499"}
MOST_REFUSED = 100  # refused paths that are listed one by one
OF_GROUPS = frozenset({Symptom.NO_LIVE_UPSTREAMS, Symptom.NO_MEMBERS})
OF_NAMES = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED})  # then a target is a name with its port
SEVERAL = 2
LATEST_S = 1.0  # after its limit, a request that waited too long has its answer
MOST_REQUESTS = 8  # of a tally
MOST_WAYS = 200  # routes of one path on servers that the log does not name; more are not compared


@dataclass(frozen=True, eq=False)
class Ways:
    """The routes of requests through the gateways of one kind, whose logs may name no address."""

    kind: str
    proxies: tuple[Proxy, ...]

    @cached_property
    def own(self) -> frozenset[int]:
        """The statuses that they may send without a backend."""
        return frozenset(answer.status for proxy in self.proxies for answer in proxy.answers)

    @cached_property
    def _finders(self) -> tuple[tuple[tuple[str, ...], RouteFinder], ...]:
        """For each gateway, its server names, and the function that finds a route by path, server and whether it is passed on."""
        return tuple(_finders()[proxy.kind](proxy) for proxy in self.proxies)

    def of(self, path: str, server: str, *, is_passed: bool = False) -> Iterator[Route]:
        """Yield the routes that a request may take, one for each server that may have it: for all servers if its name is unknown.

        A caller that only compares them stops at the first difference, because there may be thousands of servers.
        """
        for names, find in self._finders:
            for name in (server,) if server else names:
                if route := find(path, name, is_passed):
                    yield route

    def of_unnamed(self, path: str) -> Iterator[Route]:
        """Yield the routes of a request whose server has no name, one for each gateway at most."""
        return (route for _, find in self._finders if (route := find(path, "", True)))

    @cached_property
    def by_protocol(self) -> dict[str, frozenset[Target | None]]:
        """The targets of the routes of each protocol."""
        found: dict[str, set[Target | None]] = {}
        for proxy in self.proxies:
            for route in proxy.routes:
                found.setdefault(route.protocol, set()).update(self.ends(route) or {None})
        return {protocol: frozenset(ends) for protocol, ends in found.items()}

    @cached_property
    def _ends(self) -> dict[int, frozenset[Target | None]]:
        return {}

    def ends(self, route: Route) -> frozenset[Target | None]:
        """Return the targets of a route."""
        if id(route.peers) not in self._ends:
            self._ends[id(route.peers)] = frozenset(peer.target for peer in route.peers if not peer.is_down)
        return self._ends[id(route.peers)]


@cache
def _finders() -> dict[str, Callable[[Proxy], tuple[tuple[str, ...], RouteFinder]]]:
    """Return, for each kind of gateway, the function that makes its server names and its finder of routes by path."""
    modules = {name: registry.part("why502.gateways", name, "config") for name in registry.products("why502.gateways")}
    return {name: module.finder for name, module in modules.items() if module is not None and hasattr(module, "finder")}


def ways_of(proxies: Iterable[Proxy]) -> dict[str, Ways]:
    """Return the `Ways` of each kind of gateway that finds its routes by a request's path."""
    found = list(proxies)
    return {kind: Ways(kind, tuple(proxy for proxy in found if proxy.kind == kind)) for kind in _finders()}


def placed(tallies: Iterable[Tally], ways: Mapping[str, Ways]) -> tuple[Tally, ...]:
    """Return the tallies. If all requests of a tally lead to one single address, that becomes its target; if they lead to
    several, it becomes a tally for each.

    An access log without upstream fields does not name the address, nor do some lines of Apache and Caddy; the configuration
    does. If the gateway may send the same status itself, the target stays unknown. If several servers have the path, the
    application's own messages about the same requests decide.
    """
    found = tuple(tallies)

    def parts(tally: Tally) -> tuple[Tally, ...]:
        way = ways.get(tally.proxy or "")
        return _at_their_places(tally, way, found) if way and _is_unplaced(tally, way) else (tally,)

    return tuple(chain.from_iterable(map(parts, found)))


def _at_their_places(tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> tuple[Tally, ...]:
    """Return a tally at its place, or its parts at theirs if its requests lead to several single addresses."""
    whole = _at_its_place(tally, ways, others)
    if whole.target is not None or whole.group or tally.symptom in OF_GROUPS or len(tally.requests) < SEVERAL:
        return (whole,)
    parts: dict[Target | None, list[tuple[str, int]]] = {}
    for request, count in tally.requests:
        alone = msgspec.structs.replace(tally, requests=((request, count),), count=count)
        parts.setdefault(_place(alone, ways, others), []).append((request, count))
    return divided(tally, parts) if len(parts.keys() - {None}) >= SEVERAL else (whole,)


def divided(tally: Tally, parts: Mapping[Target | None, Sequence[tuple[str, int]]]) -> tuple[Tally, ...]:
    """Return a tally for each target that some of its requests lead to, and one for the rest of its count, if any.

    The times are those of all together, as the log does not keep them for each request.
    """
    found = []
    for target, requests in parts.items():
        names = {request for request, _ in requests if request}
        samples = tuple(each for each in tally.samples if any(f'"{name}' in each.text for name in names))
        found.append(
            msgspec.structs.replace(
                tally,
                target=target,
                requests=tuple(each for each in requests if each[0])[:MOST_REQUESTS],
                queried=tuple(each for each in tally.queried if each in names),
                count=sum(count for _, count in requests),
                hidden=0,
                samples=samples or tally.samples,
            )
        )
    if (rest := tally.count - sum(each.count for each in found)) > 0:
        found.append(msgspec.structs.replace(tally, requests=(), queried=(), count=rest, hidden=0))
    return tuple(found)


def _at_its_place(tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> Tally:
    """Return a tally with the one address that its requests lead to, else with the one balancer; one about a whole group with
    that group.
    """
    is_of_group = tally.symptom in OF_GROUPS
    target = None if is_of_group else _place(tally, ways, others)
    is_of_balancer = is_of_group or (
        target is None and behaviour(ways.kind).has_balancers and tally.symptom is Symptom.GATEWAY_STATUS
    )
    return msgspec.structs.replace(tally, target=target, group=_balancer(tally, ways) if is_of_balancer else tally.group)


def _balancer(tally: Tally, ways: Ways) -> str:
    """Return the one balancer that the requests of a tally lead to; "" if there are several,
    or the gateway may send that status itself.
    """
    if tally.status in ways.own or not tally.requests:
        return ""
    found: set[str] = set()
    for request, _ in tally.requests:
        routes = tuple(islice(ways.of(uri_of(request), tally.server, is_passed=True), MOST_WAYS + 1))
        found |= {route.upstream or "" for route in routes[:MOST_WAYS]} if 0 < len(routes) <= MOST_WAYS else {""}
    return found.pop() if len(found) == 1 else ""


def _is_unplaced(tally: Tally, ways: Ways) -> bool:
    """Return whether a tally is about requests to a backend that its log does not name."""
    if tally.target is not None or tally.group:
        return False
    stated = behaviour(ways.kind)
    is_message = tally.symptom not in OF_ACCESS_LINES
    is_placed = is_message or stated.places_own_statuses or tally.status not in (None, *ways.own)
    return tally.symptom in stated.unplaced and is_placed


def _place(tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> Target | None:
    """Return the only address that the requests of a tally lead to, by their paths, else by their protocol;
    None if there are several.
    """
    found: set[Target | None] = set()
    for request, _ in tally.requests:
        path = uri_of(request)
        routes = tuple(islice(ways.of(path, tally.server, is_passed=True), MOST_WAYS + 1))
        if len(routes) > MOST_WAYS:
            return None
        spoken = tuple(route for route in routes if route.protocol == tally.protocol) if tally.protocol else ()
        routes = spoken or routes
        peers = {
            end for route in {id(route.peers): route for route in routes}.values() for end in _ends(route, tally, ways, others)
        }
        found |= peers if peers and all(route.peers for route in routes) else {None}
    if not tally.requests and behaviour(ways.kind).is_placed_by_protocol:
        found |= ways.by_protocol.get(tally.protocol) or {end for ends in ways.by_protocol.values() for end in ends}
    if len(found) > 1 and None not in found:
        found = _said_by(tally, others) & found or found
    only = found.pop() if len(found) == 1 else None
    return only if only and (only.is_address or tally.symptom in OF_NAMES) else None


def _ends(route: Route, tally: Tally, ways: Ways, others: tuple[Tally, ...]) -> frozenset[Target | None]:
    """Return the targets that a failure on a route can be of: those of the route, or those that it asks first whether the client
    may pass (forward_auth), if these fit better.

    A timeout tells by its duration. Where several backends behind the same answer with the same error, it may be theirs or that
    of whom they all wait for.
    """
    own = ways.ends(route)
    asked = route.settings.get(behaviour(ways.kind).asked_first, ())
    first = frozenset(Target.parse(word) for each in asked for word in each.args[1:])
    if not first:
        return own
    if tally.symptom is not Symptom.READ_TIMED_OUT:
        alike = {ways.ends(other) for each in others[:MOST_WAYS] if _is_alike(each, tally) for other in _routes_of(each, ways)}
        behind = [ends for ends in alike if ends != first]
        return own | first if len(behind) >= SEVERAL else own
    shortest, longest = tally.duration_min_s, tally.duration_max_s
    if shortest is None or longest is None:
        return own | first
    limits = [float(each.args[0]) for each in asked]
    is_of_first = any(limit and limit <= shortest and longest < limit + LATEST_S for limit in limits)
    is_own = bool(route.read_timeout_s) and route.read_timeout_s <= shortest
    return first if is_of_first and not is_own else own if is_own and not is_of_first else own | first


def _is_alike(one: Tally, other: Tally) -> bool:
    return (one.symptom, one.proxy, one.status, one.owner_uid) == (other.symptom, other.proxy, other.status, other.owner_uid)


def _routes_of(tally: Tally, ways: Ways) -> Iterator[Route]:
    """Yield the routes of a tally's requests that ask somebody first; none if its server is unknown."""
    setting = behaviour(ways.kind).asked_first
    for request, _ in tally.requests if tally.server else ():
        yield from (route for route in ways.of(uri_of(request), tally.server) if setting in route.settings)


def _said_by(tally: Tally, others: tuple[Tally, ...]) -> set[Target | None]:
    """Return the targets whose applications reported errors of their own for at least half of a tally's requests."""
    requests = {request for request, _ in tally.requests}
    found: Counter[Target | None] = Counter()
    for other in others:
        if other.symptom is Symptom.APPLICATION_ERROR and other.proxy == tally.proxy and other.target is not None:
            found[other.target] += sum(count for request, count in other.requests if request in requests)
    return {target for target, count in found.items() if 2 * count >= tally.count}


def _is_worst(path: PathTraffic) -> bool:
    return path.last_refused is not None or bool(FAILED & path.statuses.keys())


def by_route(paths: Sequence[PathTraffic], known: Mapping[str, Ways]) -> tuple[PathTraffic, ...]:
    """Return the traffic of paths with the route that each takes, unless it has one. Paths that were never refused and never
    failed in any log are reported only as a sum for each route.

    If the log does not name the server, a path has a route only if all servers that have it agree.
    """
    ways = [way for way in known.values() if way.proxies]

    def taken(path: PathTraffic) -> Route | None:
        url = uri_of(path.request).replace("*", "0")
        is_passed = bool(PASSED & path.statuses.keys())
        found = chain.from_iterable(way.of(url, path.server, is_passed=is_passed) for way in ways)
        first = next(found, None)
        return first if first and all(route.at == first.at for route in found) else None

    failing = {(path.server, path.request) for path in paths if _is_worst(path)}
    requests = {request for _, request in failing}

    def is_told(path: PathTraffic) -> bool:
        """Return whether it failed, or may be the same path in another log, one of which does not name the server."""
        keys = {(path.server, path.request), ("", path.request)}
        return bool(keys & failing) or (not path.server and path.request in requests)

    kept: list[PathTraffic] = []
    sums: dict[tuple[str, Position | None], PathTraffic] = {}
    for each in paths:
        route = taken(each) if each.request and each.at is None else None
        path = msgspec.structs.replace(each, at=route.at, location=route.location) if route else each
        if is_told(path) and len(kept) < MOST_REFUSED:
            kept.append(path)
            continue
        key = (path.server, path.at)
        sums[key] = traffic_sum(sums[key], path) if key in sums else msgspec.structs.replace(path, request="")
    return (*kept, *sums.values())
