"""Whether clients are served: finds routes that reject most requests although the backend is reachable.

A 500 answer is not a failure of the gateway, but a machine that sends clients errors is not healthy. Shares and counts
of each route decide. Scanners ask for files that never existed, robots for files that are gone, and some clients make
mistakes, but these are not most of a route's traffic.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.index import Joins
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.takers import backends_of, door_of, ends_of_names, only_target, taker
from why502.diagnosis.targets import addresses, routes
from why502.diagnosis.upgrades import UPGRADED, passes_upgrade
from why502.diagnosis.ways import FAILED
from why502.gateways.behaviour import behaviour
from why502.model.config import Position, Route
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

ERRORS = frozenset({"500", "501", "505"})
LIMITS = frozenset({"408", "413", "414", "431", "494"})
BAD_REQUEST = "400"
REFUSED = frozenset({"400", "403", "404", "405", "411", "415", "421", "426"})
OWN_ERROR = 500
_OF_THE_APPLICATION = frozenset({Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS, Symptom.APPLICATION_ERROR})
FEW, SOME, MANY = 5, 10, 20  # requests
MOST, NEARLY_ALL = 0.5, 0.8  # shares of a route's requests
NOTICEABLE = 0.2
TOGETHER = 0.1  # of the answers of a server, whatever its routes
CONSTANT = 0.05  # of all requests, from different clients: more than one visitor or one bad link causes
SEVERAL = 2  # clients
QUIET = timedelta(seconds=60)  # without an error: if one request in twenty fails, some succeed in this time
PING_S = 30.0  # libraries ping every 20 to 30 s, if at all
_RULES = frozenset({"deny", "allow", "auth_basic", "auth_request", "limit_except", "secure_link", "valid_referers"})
_BY_RULE = frozenset({"403"})  # what they answer, besides 401
# Scanners and browsers request these on their own, whether or not they exist.
_PROBED = lazy(
    r"/\.|/(?:favicon\.ico|robots\.txt|sitemap|apple-touch-icon|browserconfig|ads\.txt|wp-|wordpress|xmlrpc|phpmyadmin|pma\b|cgi-bin|vendor/|boaform|hnap1"
    r"|solr/|owa/|autodiscover|geoserver|actuator|manager/|admin)|\.(?:env|git|aspx?|jsp|cgi|bak|sql|zip|tar|gz|old|ini)(?:/|$)",
    re.IGNORECASE,
)
_SCRIPT = lazy(r"\.php\d?(?:/|$)", re.IGNORECASE)
_WEBSOCKET = lazy(r"/(?:wss?|websockets?|web-socket|socket\.io|sockjs(?:-node)?|cable|signalr|hubs?)(?:/|$)", re.IGNORECASE)


def unserved(joins: Joins) -> tuple[Unserved, ...]:
    """Return the routes whose clients are not served, most refused requests first."""
    return joins.once(_unserved)


def _unserved(joins: Joins) -> tuple[Unserved, ...]:
    here, places = joins.here, joins.routes_at
    if here.logs is None:
        return ()
    groups: dict[tuple[Position | None, str], list[PathTraffic]] = {}
    for path in here.logs.paths:
        groups.setdefault((path.at, "" if path.at else path.server), []).append(path)
    upgraded = _upgraded(here.logs.paths)
    known = ((paths, places.get(at) if at else None) for (at, _), paths in groups.items())
    found = [
        one
        for paths, route in known
        for one in _of_route(
            paths,
            route,
            _own_500s(here, paths, route),
            _ended(joins, route),
            not_found=_not_found(joins, route),
            upgraded=upgraded,
        )
    ]
    found.extend(_of_several(here, found))
    found.extend(_without_paths(here))
    found.extend(_denied(joins))
    found = [
        one
        if one.at or one.reason is Reason.DENIAL
        else replace(one, target=only_target(here, one.server) or taker(joins, one.request, one.server))
        for one in found
    ]
    found = [_by_address(joins, one) for one in found]
    found = [_by_words(joins, one, places.get(one.at) if one.at else None) for one in found]
    found = [_by_judge(joins, one, places.get(one.at) if one.at else None) for one in found]
    found.extend(_cut(here))
    found.extend(_of_failures(here))
    return tuple(sorted(found, key=lambda one: (one.is_over, -one.refused, one.reason, one.where, one.request)))


def _by_address(joins: Joins, one: Unserved) -> Unserved:
    """Return it with the address of its backend if that is configured as a name with one address, as other sections use it."""
    if one.target is None or one.target.is_address:
        return one
    found = joins.once(ends_of_names).get(one.target, frozenset())
    return replace(one, target=next(iter(found))) if len(found) == 1 else one


def _by_words(joins: Joins, one: Unserved, route: Route | None) -> Unserved:
    """Return it with a backend chosen among several: the one whose application reports about as many errors, or all that do."""
    if one.target is not None or one.reason is not Reason.APPLICATION:
        return one
    told: Counter[Target] = Counter()
    for target in backends_of(joins, (route,) if route else joins.routes):
        told[target] = _errors_of(joins, target)
    most = told.most_common(2)
    if 2 * told.total() < one.refused or not told.total():
        return one
    is_one = len(most) == 1 or (len(most) == 2 and 4 * most[1][1] <= most[0][1])
    return replace(one, target=most[0][0]) if is_one else replace(one, sharing=tuple(target for target in told if told[target]))


def _by_judge(joins: Joins, one: Unserved, route: Route | None) -> Unserved:
    """Return it with the one that the gateway asks first whether a client may pass, and whose answer the client gets, if its
    application reports most of the errors, and the one behind the route hardly any.
    """
    if route is None or one.reason is not Reason.APPLICATION:
        return one
    asked = route.settings.get(behaviour(route.proxy).asked_first, ())
    judges = {target for each in asked for word in each.args[1:] if (target := Target.parse(word))}
    told = [_errors_of(joins, target) for target in (*judges, one.target)]
    is_judges = len(judges) == 1 and 2 * told[0] >= one.refused and 4 * told[-1] <= told[0]
    return replace(one, target=judges.pop()) if is_judges else one


def _errors_of(joins: Joins, target: Target | None) -> int:
    """Return how many errors the application on a target reports."""
    return sum(event.count for event in Case(here=joins.here, target=target, index=joins).events(Symptom.APPLICATION_ERROR))


def _own_500s(here: Snapshot, paths: list[PathTraffic], route: Route | None) -> int:
    """Return how many requests of a route its gateway itself answered with 500, according to its own log: by the symptoms that it
    answers so, or by what it logged of these requests.
    """
    tallies = here.logs.tallies if here.logs else ()
    requests, servers = {path.request for path in paths} - {""}, {path.server for path in paths}
    told = sum(
        count
        for tally in tallies
        if tally.status == OWN_ERROR and tally.is_failure and tally.symptom not in _OF_THE_APPLICATION and tally.server in servers
        for request, count in tally.requests
        if request in requests
    )
    if route is None or not (symptoms := behaviour(route.proxy).answers_500_to):
        return told
    ends = {target for peer in route.peers for target in (peer.target, *addresses(peer, here))}
    return max(told, sum(tally.count for tally in tallies if tally.symptom in symptoms and tally.target in ends))


def _ended(joins: Joins, route: Route | None) -> int:
    """Return how many requests of a route its application server ended because they took too long, according to its own log."""
    if route is None or not any(event.symptom is Symptom.WORKER_TIMED_OUT for event in joins.here.events or ()):
        return 0
    own = (Case(here=joins.here, target=target, index=joins) for target in backends_of(joins, (route,)))
    return sum(event.count for case in own for event in case.events(Symptom.WORKER_TIMED_OUT))


def _not_found(joins: Joins, route: Route | None) -> int:
    """Return how many requests of a route its FastCGI server refused because it could not run the script, according to its own
    words.
    """
    tallies, events = (joins.here.logs.tallies if joins.here.logs else ()), joins.here.events or ()
    symptoms = {*(tally.symptom for tally in tallies), *(event.symptom for event in events)}
    if route is None or Symptom.SCRIPT_NOT_FOUND not in symptoms:
        return 0
    own = [Case(here=joins.here, target=target, index=joins) for target in backends_of(joins, (route,))]
    told = sum(event.count for case in own for event in case.events(Symptom.SCRIPT_NOT_FOUND))
    ends = {case.target for case in own}
    return max(told, sum(each.count for each in tallies if each.symptom is Symptom.SCRIPT_NOT_FOUND and each.target in ends))


def _upgraded(paths: Iterable[PathTraffic]) -> frozenset[str]:
    """Return the requests with which WebSockets were opened (101) in the window, on any server."""
    return frozenset(path.request for path in paths if path.request and path.statuses.get(UPGRADED, 0))


def _of_route(
    paths: list[PathTraffic],
    route: Route | None,
    own_500s: int,
    ended: int,
    *,
    not_found: int,
    upgraded: frozenset[str],
) -> Iterator[Unserved]:
    """Yield the problem of most of a route's clients: an error of the application, else a limit, else a refusal.

    A few errors beside those that the gateway itself sent are not taken for the application's: its log may not have all of them.
    """
    errors = _sum(paths, ERRORS)
    if own_500s and errors <= own_500s + max(FEW, own_500s * NOTICEABLE):
        return
    total = sum(_answered(path) for path in paths)
    if (errors >= SOME and errors >= NOTICEABLE * total) or (errors >= FEW and errors >= MOST * total):
        yield _described(Reason.APPLICATION, paths, ERRORS, route)
        return
    bad = [path for path in paths if _is_bad(path) or _is_ended(path, ended)]
    yield from (_described(Reason.APPLICATION, [path], ERRORS, route) for path in bad)
    is_felt = any(_sum([path], ERRORS) and path.clients >= SEVERAL for path in paths)
    if not bad and errors >= SOME and errors >= CONSTANT * total and is_felt:
        one = _described(Reason.APPLICATION, paths, ERRORS, route)
        served = max((path.last_served for path in paths if path.last_served), default=None)
        yield replace(one, is_over=bool(one.is_over and one.last and served and served > one.last + QUIET))
        return
    for path in paths:
        count = _sum([path], LIMITS)
        if path.request and count >= (FEW if path.clients >= SEVERAL else SOME) and _is_most(path, count):
            yield _described(Reason.LIMIT, [path], LIMITS, route)
        count = _sum([path], REFUSED)
        if _is_malformed(path, total):
            yield replace(_described(Reason.REFUSAL, [path], frozenset({BAD_REQUEST}), route), target=None)  # or by the gateway
        is_socket = _is_most(path, count) if _is_for_sockets(path, paths) else _is_shut(path, count, route, upgraded)
        if is_socket and _is_certain(path, count, FEW):
            yield _described(Reason.WEBSOCKET, [path], REFUSED, route)
            return
    closed = [path for path in paths if _is_closed(path) and path.refused_since >= FEW]
    if not_found >= FEW and closed:
        yield _described(Reason.REFUSAL, closed, REFUSED, route)
        return
    yield from _refused(paths, route)


def is_much(here: Snapshot, one: Unserved) -> bool:
    """Return whether requests over a limit are a large part of the server's traffic, or some requests of that kind succeed.
    If no client ever succeeded, no working use has stopped.
    """
    paths = here.logs.paths if here.logs else ()
    servers = {path.server for path in paths if path.request == one.request and path.at == one.at}
    total = sum(path.completed for path in paths if path.server in servers or path.at == one.at)
    return one.refused < one.requests or one.refused >= NOTICEABLE * total


def _is_shut(path: PathTraffic, count: int, route: Route | None, upgraded: frozenset[str]) -> bool:
    """Return whether WebSockets were opened with a path's request, and most such requests are refused now, none served.

    If they were opened on another server only, the refusals must be explained by a route that drops the Upgrade header.
    """
    if path.request not in upgraded or count < MOST * path.completed or path.refused_since < FEW:
        return False
    return bool(path.statuses.get(UPGRADED, 0)) or (route is not None and not passes_upgrade(route))


def _is_for_sockets(path: PathTraffic, paths: list[PathTraffic]) -> bool:
    """Return whether a path's name says that it is for WebSockets. A route that opens them on other paths forwards upgrades, so
    a name that it does not know (404) is a scanner's or a mistake of its clients, and a script is for plain requests.
    """
    if not _WEBSOCKET.search(path.request) or _SCRIPT.search(path.request) or _PROBED.search(path.request):
        return False
    is_unknown = path.statuses.get("404", 0) == _sum([path], REFUSED) and not path.statuses.get(UPGRADED, 0)
    return not (is_unknown and any(other.statuses.get(UPGRADED, 0) and not other.refused_since for other in paths))


def _is_malformed(path: PathTraffic, total: int) -> bool:
    """Return whether nearly all requests of a much used path are answered 400. Many clients do not make the same mistake."""
    count = path.statuses.get(BAD_REQUEST, 0)
    is_much = count >= MANY and count >= NOTICEABLE * total and count >= NEARLY_ALL * path.completed
    return is_much and path.clients > SEVERAL and bool(path.request) and not _PROBED.search(path.request)


def _is_bad(path: PathTraffic) -> bool:
    """Return whether the application answers most requests of one path with an error, or has done so for some time."""
    count = _sum([path], ERRORS)
    is_most = _is_certain(path, count, FEW) and count >= MOST * _answered(path)
    is_since = count >= NOTICEABLE * _answered(path) and _is_certain(path, path.refused_since, FEW)
    return is_most or is_since or (_is_certain(path, count, SOME) and path.refused_since >= MANY)


def _is_ended(path: PathTraffic, ended: int) -> bool:
    """Return whether the application server says that it ended about as many requests as most of a path's, which got an error."""
    count = _sum([path], ERRORS)
    return count >= SEVERAL and count >= MOST * _answered(path) and ended >= SEVERAL and 2 * ended >= count


def _refused(paths: list[PathTraffic], route: Route | None) -> Iterator[Unserved]:
    """Yield that nearly every request is refused on a route where the proxy has no rule to refuse it: the same paths,
    again and again, or all that were served before.
    """
    if route is None or route.if_conditions or (_RULES & route.settings.keys() and _sum(paths, _BY_RULE)):
        return
    is_script = route.protocol == "fastcgi"
    meant = [path for path in paths if path.last_served or not _is_a_scanners(path.request, is_script=is_script)]
    refused = [path for path in meant if _sum([path], REFUSED)]
    count, total = _sum(meant, REFUSED), sum(path.completed for path in meant)
    probed = sum(path.completed - _sum([path], REFUSED) for path in paths if path not in meant)
    clients = max((path.clients for path in refused), default=0)
    is_all = count >= (SOME if clients >= SEVERAL else MANY) and count >= NEARLY_ALL * (total + probed)
    has_closed = _has_closed(paths)
    if (is_all and count >= 2 * len(refused)) or has_closed:
        yield replace(_described(Reason.REFUSAL, meant, REFUSED, route), has_closed=has_closed)


def _is_a_scanners(request: str, *, is_script: bool) -> bool:
    """Return whether scanners and browsers request that on their own. A path that was ever served is the site's own, whatever it
    is called: pages of Tomcat end in `.jsp`.
    """
    return bool(_PROBED.search(request) or (not is_script and _SCRIPT.search(request)))


def _is_closed(path: PathTraffic) -> bool:
    """Return whether a path that was served before is refused since, each time."""
    return path.last_served is not None and 0 < MOST * _sum([path], REFUSED) <= path.refused_since


def _has_closed(paths: list[PathTraffic]) -> bool:
    """Return whether paths that were served before are refused since, each time, and have nearly all of the traffic."""
    closed = [path for path in paths if _is_closed(path)]
    count = sum(path.refused_since for path in closed)
    clients = max((path.clients for path in closed), default=0)
    traffic = sum(path.completed for path in paths)
    is_much = count >= (SOME if clients >= SEVERAL else MANY)
    return is_much and sum(path.completed for path in closed) >= NEARLY_ALL * traffic


def _denied(joins: Joins) -> Iterator[Unserved]:
    """Yield the servers where a rule of the proxy, according to its own log, refuses everyone since it began to.

    The target is None, or the address at which another gateway reaches this proxy.
    """
    here = joins.here
    denied: Counter[tuple[str, str]] = Counter()
    for tally in here.logs.tallies if here.logs else ():
        if tally.symptom is Symptom.DENIED_BY_RULE and tally.proxy is not None:
            denied[tally.proxy, tally.server] += tally.count
    for (kind, server), count in denied.items():
        paths = [path for path in (here.logs.paths if here.logs else ()) if path.server == server]
        if _has_closed(paths) and count >= MOST * _sum(paths, REFUSED):
            yield replace(_described(Reason.DENIAL, paths, REFUSED, None), target=door_of(joins, kind))


def _of_failures(here: Snapshot) -> Iterator[Unserved]:
    """Yield the requests that applications answer with an error if the only log holds nothing but failures:
    the number of successful requests is unknown.
    """
    if here.logs is None or here.logs.paths or here.logs.requests:
        return
    counts: Counter[str] = Counter()
    errors = [tally for tally in here.logs.tallies if tally.symptom is Symptom.UPSTREAM_STATUS and str(tally.status) in ERRORS]
    for tally in errors:
        counts.update(dict(tally.requests))
    for tally in errors:
        request, count = max(tally.requests, key=lambda pair: counts[pair[0]], default=("", 0))
        if counts[request] >= SOME and count >= FEW and tally.target is not None:
            server = tally.server or tally.group
            yield Unserved(
                Reason.APPLICATION, tally.count, 0, (str(tally.status),), request, server, target=tally.target, last=tally.last
            )


def _of_several(here: Snapshot, found: list[Unserved]) -> Iterator[Unserved]:
    """Yield the servers whose clients get an error here and there, on several routes, of which none has many by itself."""
    told = {one.server for one in found if one.reason is Reason.APPLICATION}
    servers: dict[str, list[PathTraffic]] = {}
    for path in here.logs.paths if here.logs else ():
        servers.setdefault(path.server, []).append(path)
    for server, paths in servers.items():
        bad = [path for path in paths if _sum([path], ERRORS)]
        errors, total = _sum(bad, ERRORS), sum(_answered(path) for path in paths)
        is_many = errors >= SOME and errors >= TOGETHER * total and any(path.clients >= SEVERAL for path in bad)
        if server in told or not is_many or len({path.at for path in bad}) < 2 or _own_500s(here, bad, None):
            continue
        one = _described(Reason.APPLICATION, bad, ERRORS, None)
        served = max((path.last_served for path in paths if path.last_served), default=None)
        if not (one.last and served and served > one.last + QUIET):
            yield replace(one, requests=total, at=None, location="", is_over=False)


def _without_paths(here: Snapshot) -> Iterator[Unserved]:
    """Yield the servers whose applications answer many of all requests with an error, if the traffic of paths is unknown:
    the log's lines have no request, or could not be counted by path.
    """
    if here.logs is None or here.logs.paths or not here.logs.requests:
        return
    found: dict[str, list[Tally]] = {}
    for tally in here.logs.tallies:
        if tally.symptom is Symptom.UPSTREAM_STATUS and str(tally.status) in ERRORS and tally.target is None:
            found.setdefault(tally.server, []).append(tally)
    for server, tallies in found.items():
        errors = sum(tally.count for tally in tallies)
        if errors >= SOME and errors >= NOTICEABLE * here.logs.requests:
            counts: Counter[str] = Counter()
            for tally in tallies:
                counts.update(dict(tally.requests))
            request = max(sorted(counts), key=lambda each: counts[each], default="")
            last = max((tally.last for tally in tallies if tally.last), default=None)
            statuses = tuple(sorted({str(tally.status) for tally in tallies}))
            yield Unserved(Reason.APPLICATION, errors, 0, statuses, request, server, last=last)


def _cut(here: Snapshot) -> Iterator[Unserved]:
    """Yield that the proxy's own timer ends most upgraded connections, or that it ends some and is shorter than usual pings."""
    tallies = [tally for tally in (here.logs.tallies if here.logs else ()) if tally.symptom is Symptom.UPGRADED_TIMED_OUT]
    count = sum(tally.count for tally in tallies)
    if count < FEW:
        return
    opened = sum(path.statuses.get(UPGRADED, 0) for path in (here.logs.paths if here.logs else ()))
    targets = {tally.target for tally in tallies}
    limits = [route.read_timeout_s for route in routes(here) if {peer.target for peer in route.peers} & targets]
    is_short = bool(limits) and 0 < max(limits) <= PING_S
    if is_short or count >= MOST * opened:
        last = max((tally.last for tally in tallies if tally.last), default=None)
        target = tallies[0].target
        yield Unserved(Reason.CUT, count, max(opened, count), ("101",), server=tallies[0].server, target=target, last=last)


def _described(reason: Reason, paths: list[PathTraffic], statuses: frozenset[str], route: Route | None) -> Unserved:
    worst = max(paths, key=lambda path: (_sum([path], statuses), path.request))
    counts = {status: sum(path.statuses.get(status, 0) for path in paths) for status in statuses}
    last = max((path.last_refused for path in paths if path.last_refused), default=None)
    peers = [peer.target for peer in route.peers if peer.target and not peer.is_down] if route else []
    return Unserved(
        reason,
        sum(counts.values()),
        sum((_answered(path) if reason is Reason.APPLICATION else path.completed) for path in paths),
        tuple(sorted((status for status in counts if counts[status]), key=lambda status: (-counts[status], status))),
        worst.request,
        (route.server if route else "") or worst.server,
        worst.location,
        worst.at,
        peers[0] if len(peers) == 1 else None,
        last,
        bool(last and worst.last_served and worst.last_served > last and not worst.refused_since),
    )


def _is_certain(path: PathTraffic, count: int, several: int) -> bool:
    """Return whether that many refusals are more than one client's mistake: for a single client it takes many."""
    return count >= (several if path.clients >= SEVERAL else MANY)


def _is_most(path: PathTraffic, count: int) -> bool:
    """Return whether that many are most of the requests of a path, or all for some time."""
    return count >= MOST * path.completed or path.refused_since >= MANY


def _sum(paths: Iterable[PathTraffic], statuses: frozenset[str]) -> int:
    return sum(count for path in paths for status, count in path.statuses.items() if status in statuses)


def _answered(path: PathTraffic) -> int:
    """Return how many requests the application may have answered: those that failed before it are reported separately."""
    return sum(count for status, count in path.statuses.items() if status not in FAILED)


def refusing(joins: Joins) -> frozenset[Target]:
    """Return the targets on whose routes clients got 400, or a gateway's 500 that may mean that no answer came, while an
    application of the machine logs that request headers are too big.
    """
    return joins.once(_refusing)


def _refusing(joins: Joins) -> frozenset[Target]:
    here = joins.here
    if here.logs is None or not any(event.symptom is Symptom.REQUEST_HEADER_TOO_BIG for event in here.events or ()):
        return frozenset()
    bad = {path.at for path in here.logs.paths if path.at and path.statuses.get(BAD_REQUEST, 0) >= FEW}
    silent = {path.at for path in here.logs.paths if path.at and path.statuses.get(str(OWN_ERROR), 0) >= FEW}
    return frozenset(
        target
        for route in joins.routes
        if route.at in bad or (route.at in silent and route.protocol in behaviour(route.proxy).silent_500_of)
        for peer in route.peers
        for target in addresses(peer, here)
    )


def refusals(case: Case) -> Iterator[Unserved]:
    """Yield the routes on which the target's application itself refuses its clients now, or answers them with an error."""
    for one in unserved(case.joins) if case.target is not None else ():
        if one.reason in (Reason.APPLICATION, Reason.REFUSAL) and not one.is_over and one.target == case.target:
            yield one


def last_words(here: Snapshot, target: Target | None, joins: Joins | None = None) -> str:
    """Return the last error that the target's application logged; "" if no such message is known to be its own."""
    case = Case(here=here, target=target, index=joins)
    found: list[tuple[float, str]] = []
    own = [tally for tally in case.tallies if tally.symptom is Symptom.APPLICATION_ERROR]
    found.extend(
        (tally.last.timestamp() if tally.last else 0.0, tally.detail or tally.samples[-1].text)
        for tally in (*own, *case.words(Symptom.APPLICATION_ERROR))
        if tally.samples
    )
    found.extend((event.at.timestamp() if event.at else 0.0, event.message) for event in case.events(Symptom.APPLICATION_ERROR))
    return max(found)[1] if found else ""
