"""Verification: the failing requests, and one request of every other route, sent through the proxy before and after a change."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from why502.diagnosis.targets import addresses
from why502.gateways.behaviour import behaviour, read_limit_s
from why502.host.base import Host
from why502.logs.scan.routes import route as path_pattern
from why502.logs.verdicts import CLIENT_CLOSED
from why502.model.base import Value
from why502.model.config import Position, Route
from why502.model.errors import HostError
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.request_line import method_of, path_of, uri_of
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.probing.entrance import of_route, of_url
from why502.probing.plan import fits, harmful
from why502.probing.probe import probe
from why502.probing.request import HANDSHAKE, Request

FAILED = 8  # requests that failed, for each route
ROUTES = 32
MOST = 96
AT_ONCE = 4  # few: the proxy may be short of connections
ANSWER_S = 10.0
LONGEST_S = 130.0  # for failures caused by the proxy's own timer
LIMITS = ("limit_req", "limit_conn")
CACHING = ("proxy", "fastcgi", "uwsgi", "scgi")
WAITED = frozenset({Symptom.CONNECT_TIMED_OUT.value, Symptom.READ_TIMED_OUT.value, Symptom.BODY_TIMED_OUT.value})
LATE = (Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED)
HTTP = 80
SERVER_ERROR = 500
PAUSES_S = (1.2, 3.0, 7.0)  # wait before repeating a request that the proxy's own limit rejected: 10 a minute is one in 6 s
# Responses to a client that uses the wrong protocol or server name. They do not show that a failure is fixed.
MISDIRECTED = ("400", "421", "497")
NOT_FOUND = ("404", "410")
UPGRADED = "101"
UPGRADE_REQUIRED = "426"


class Asked(Value, frozen=True, kw_only=True):
    """One request and its result: status or symptom. `concerns`: it belongs to the route that is being fixed."""

    request: Request
    is_failed: bool
    how: str
    concerns: bool = False
    limits: tuple[int, ...] = ()  # the statuses that the proxy's own limits return there
    is_limited: bool = False  # a limit rejected every attempt, so the result shows nothing about the backend
    is_cached: bool = False  # the proxy caches responses there, so each of our requests has a different query
    is_from_log: bool = False  # it was not sent, since it may have caused its failure; only its repetition is sent, once
    is_of_clients: bool = False  # clients made this request, and got a failure
    usual: tuple[str, ...] = ()  # the statuses below 500 that clients got for its path, as far as the logs go back


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request to send: whether it belongs to the route that is being fixed, and how often it is sent."""

    request: Request
    concerns: bool = False
    times: int = 1
    limits: tuple[int, ...] = ()
    is_cached: bool = False
    is_from_log: bool = False
    is_of_clients: bool = False
    usual: tuple[str, ...] = ()


class Verdict(Value, frozen=True, kw_only=True):
    """The verdict of the requests after a change."""

    helps: bool
    message: str
    failing: tuple[str, ...] = ()  # if it helps: addresses of requests that it should have fixed and that still fail
    unverified: str = ""  # if it is kept without a proof: why no request shows whether it helps


def requests(
    snapshot: Snapshot,
    places: Sequence[Position],
    proxy: Proxy | None = None,
    urls: Iterable[str] = (),
    cut_off: Sequence[Target | None] = (),
) -> Iterator[Wanted]:
    """Yield the requests to send, those of the routes at these places (none: all routes) first.

    For each route, failed requests are repeated if that is safe: GET and HEAD that had no query and did not cause their failure
    themselves. If there are none, one request for its location is sent. A group with several peers is requested more often, so
    that each peer gets a turn, but only once if the proxy limits the rate. `proxy` may be one that is to be started. `cut_off`:
    the targets whose requests are wanted even if they may have caused their failure. Raises Why502Error for a URL that leads to
    no proxy.
    """
    running = [x for x in snapshot.proxies or () if (x.is_running or x is proxy) and not x.network]
    found: dict[tuple[object, ...], Wanted] = {}
    for url in urls:
        request = of_url(url, running)
        found[_key(request)] = Wanted(request, concerns=True)
    every = [route for x in running for route in _reachable(x, snapshot)]
    answered = {
        (answer.server, answer.location, answer.status) for x in running for answer in x.answers if not answer.if_conditions
    }
    for route in sorted(every, key=lambda route: bool(places) and route.at not in places)[:ROUTES]:
        limited = dict.fromkeys(route.limit_status(name) for name in LIMITS if route.setting(name))
        limits = tuple(status for status in limited if (route.server, route.location, status) not in answered)
        times = min(6, 2 * len(route.peers)) if len(route.peers) > 1 and not limits else 1
        for made in _of(route, snapshot):
            request = msgspec.structs.replace(made, repeats=False)
            known = found.get(_key(request))
            found[_key(request)] = Wanted(
                request,
                concerns=not places or route.at in places or bool(known and known.concerns),
                times=max(times, known.times if known else 1),
                limits=limits,
                is_cached=_keeps_answers(route),
                is_of_clients=made.repeats or bool(known and known.is_of_clients),
                usual=_usual(route, request, snapshot),
            )
        for request in _cut_off(route, snapshot, cut_off) if route.at in places else ():
            usual = _usual(route, request, snapshot)
            found[_key(request)] = Wanted(
                request, concerns=True, limits=limits, is_from_log=True, is_of_clients=True, usual=usual
            )
    yield from list(found.values())[:MOST]


def handshakes(snapshot: Snapshot, places: Sequence[Position], proxy: Proxy | None = None) -> Iterator[Wanted]:
    """Yield the handshake of a WebSocket for each route at these places, on the path where clients opened most WebSockets, or
    that they asked for most often; on that of the location if the logs do not have it in full. A connection that opens is
    closed at once.
    """
    running = [x for x in snapshot.proxies or () if (x.is_running or x is proxy) and not x.network]
    for route in (route for x in running for route in _reachable(x, snapshot) if route.at in places):
        paths = [path for path in (snapshot.logs.paths if snapshot.logs else ()) if path.at == route.at]
        asked = max(paths, key=_upgrades, default=None)
        harm = {path for peer in route.peers for target in addresses(peer, snapshot) for path in harmful(snapshot, target)}
        made = of_route(route, (), harm)
        if made is None:
            continue
        if asked is not None:
            made = _on_path(made, asked, route, harm) or made
        yield Wanted(msgspec.structs.replace(made, headers=HANDSHAKE, answer_s=ANSWER_S), concerns=True)


def _on_path(made: Request, asked: PathTraffic, route: Route, harm: Collection[str]) -> Request | None:
    """Return a request for a location with the path that clients asked for; None if the logs do not have it in full, if it may
    have caused its own failure, or if it is no GET.
    """
    path = path_of(asked.request)
    if not asked.request.startswith("GET /") or "*" in path or "..." in path or path in harm or not fits(route, path):
        return None
    return msgspec.structs.replace(made, path=path, url=made.url.removesuffix(made.path) + path)


def _upgrades(path: PathTraffic) -> tuple[int, int]:
    """Return how many handshakes a path had, as far as the statuses show them, and how many requests."""
    return sum(path.statuses.get(status, 0) for status in (UPGRADED, UPGRADE_REQUIRED)), sum(path.statuses.values())


def _cut_off(route: Route, snapshot: Snapshot, targets: Sequence[Target | None]) -> Iterator[Request]:
    """Yield the requests of a route that may have caused their failure on these targets, and can be sent."""
    for target, text, tally in _harmful_ones(snapshot, targets):
        if target is not None and fits(route, uri_of(text)):
            single = msgspec.structs.replace(tally, requests=((text, 1),))
            if (request := of_route(route, (single,))) and request.repeats:
                yield msgspec.structs.replace(request, answer_s=min(LONGEST_S, read_limit_s(route) + 5), repeats=False)


def _harmful_ones(snapshot: Snapshot, targets: Sequence[Target | None]) -> Iterator[tuple[Target | None, str, Tally]]:
    """Yield the failed requests of targets that may have caused their own failure ("GET /report"), the first few of each."""
    for target in targets:
        harm = harmful(snapshot, target) if target else frozenset()
        tallies = (tally for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.target == target)
        found = {text: tally for tally in tallies for text, _ in tally.requests if path_of(text) in harm}
        yield from ((target, text, tally) for text, tally in list(found.items())[:FAILED])


def withheld(snapshot: Snapshot, targets: Sequence[Target | None], before: Sequence[Asked]) -> str:
    """Return a sentence about a failed request of these targets that is not among those sent, since it may have caused its own
    failure; "" if there is none.
    """
    sent = {(asked.request.method, asked.request.path) for asked in before}
    found = dict.fromkeys(text for _, text, _ in _harmful_ones(snapshot, targets))
    left = [text for text in found if (method_of(text), path_of(text)) not in sent]
    return f"{left[0]} was not repeated, because it may have caused its own failure" if left else ""


def _reachable(proxy: Proxy, snapshot: Snapshot) -> Iterator[Route]:
    """Yield the routes of a proxy and their listen addresses. The addresses come from its sockets if the configuration does not
    name them for each route.
    """
    pids = set(proxy.pids)
    sockets = [x.target for x in snapshot.listeners or () if pids & set(x.pids) and not x.target.is_unix]
    listens = tuple(str(target) for target in sorted(sockets, key=lambda target: target.port != HTTP))
    for route in proxy.routes:
        if route.listens or behaviour(proxy.kind).routes_have_listens:
            yield route
        elif listens:
            yield msgspec.structs.replace(route, listens=listens)


def _usual(route: Route, request: Request, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the statuses below 500 that clients got for the path of a request; () if the logs do not show any. Those that they
    got only since the path was last served are part of the failure.
    """
    wanted, names = path_pattern(f"{request.method} {request.path}"), ("", route.server, *route.server_names)
    paths = [path for path in (snapshot.logs.paths if snapshot.logs else ()) if path.request == wanted and path.server in names]
    found = {status for path in paths for status in path.statuses if not _is_new(path, status)}
    return tuple(sorted(status for status in found if "100" <= status < str(CLIENT_CLOSED)))


def _has_closed(path: PathTraffic) -> bool:
    """Return whether clients were served a path, and have only been refused since."""
    return path.refused_since > 0 and path.last_served is not None


def _is_new(path: PathTraffic, status: str) -> bool:
    """Return whether clients got a refusal of a path only after it was last served."""
    refused = sum(count for code, count in path.statuses.items() if "400" <= code < str(SERVER_ERROR))
    return status >= "400" and path.last_served is not None and refused <= path.refused_since


def _keeps_answers(route: Route) -> bool:
    return any((found := route.setting(f"{name}_cache")) and found.args[:1] not in ((), ("off",)) for name in CACHING)


def _of(route: Route, snapshot: Snapshot) -> Iterator[Request]:
    """Yield the requests of a route: those of clients that failed (`repeats`), else pages that it served before and refuses now,
    else one for its location.
    """
    tallies = [
        tally
        for tally in (snapshot.logs.tallies if snapshot.logs else ())
        if tally.proxy is not None and (not tally.server or tally.server in (route.server, *route.server_names))
    ]
    is_late = any(tally.symptom in LATE for tally in tallies)
    singles: dict[str, Tally] = {}
    for tally in tallies:
        for text, count in tally.requests:
            singles.setdefault(text, msgspec.structs.replace(tally, requests=((text, count),)))
    wanted = [single for text, single in singles.items() if fits(route, uri_of(text))][:FAILED]
    targets = {target for peer in route.peers for target in addresses(peer, snapshot)} | {tally.target for tally in tallies} - {
        None
    }
    harm = frozenset(path for target in targets if target for path in harmful(snapshot, target))
    made = [request for single in wanted if (request := of_route(route, (single,), harm)) and request.repeats]
    plain = of_route(route, (), harm)
    closed = [path for path in (snapshot.logs.paths if snapshot.logs else ()) if path.at == route.at and _has_closed(path)]
    pages = [page for path in closed[:FAILED] if plain is not None and (page := _on_path(plain, path, route, harm))]
    for request in made or pages or filter(None, [plain]):
        answer_s = min(LONGEST_S, 2 * read_limit_s(route) + 5) if is_late else ANSWER_S
        yield msgspec.structs.replace(request, answer_s=max(ANSWER_S, answer_s))


def _key(request: Request) -> tuple[object, ...]:
    return (request.target, request.method, request.url)


def ask(host: Host, wanted: Iterable[Wanted]) -> tuple[Asked, ...]:
    """Return the result of each request. A request that is sent several times fails if one of them fails."""
    every = list(wanted)
    limited = [item for item in every if item.limits]

    def one(item: Wanted) -> Asked:
        asked = _asked(host, item)
        for _ in range(item.times - 1):
            asked = asked if asked.is_failed else _asked(host, item)
        return asked

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ask") as pool:
        slow = pool.submit(lambda: {id(item): one(item) for item in limited})  # one after the other
        fast = {id(item): pool.submit(one, item) for item in every if not item.limits}
        done = slow.result() | {key: future.result() for key, future in fast.items()}
    return tuple(done[id(item)] for item in every)


def again(host: Host, before: Sequence[Asked]) -> tuple[Asked, ...]:
    """Return the results of the same requests now, in the same order. A request that only fails now is retried."""
    wanted = [
        Wanted(
            old.request,
            concerns=old.concerns,
            times=4 if old.is_failed and not old.limits and not old.is_from_log else 1,
            limits=old.limits,
            is_cached=old.is_cached,
            is_of_clients=old.is_of_clients,
            usual=old.usual,
        )
        for old in before
    ]
    after = ask(host, wanted)
    return tuple(
        _asked(host, item) if new.is_failed and not old.is_failed else new
        for old, new, item in zip(before, after, wanted, strict=True)
    )


def _asked(host: Host, item: Wanted) -> Asked:
    """Return the result of a request. If the proxy's own limit rejects it, it is sent again after growing pauses."""
    for pause_s in PAUSES_S if item.limits else ():
        asked = _asked_once(host, item)
        if not asked.is_limited:
            return asked
        time.sleep(pause_s)  # until the limit accepts it: the proxy does not report when
    return _asked_once(host, item)


def _asked_once(host: Host, item: Wanted) -> Asked:
    request = _uncached(item.request) if item.is_cached else item.request
    asked = Asked(
        request=item.request,
        is_failed=True,
        how="no answer",
        concerns=item.concerns,
        limits=item.limits,
        is_cached=item.is_cached,
        is_of_clients=item.is_of_clients,
        usual=item.usual,
    )
    if item.is_from_log:
        return msgspec.structs.replace(asked, how="as logged", is_from_log=True)
    try:
        found = probe(host, request)
    except HostError as error:
        return msgspec.structs.replace(asked, how=error.reason)
    is_limited = found.status in item.limits
    is_failed = (found.symptom is not None or (found.status or 0) >= SERVER_ERROR) and not is_limited
    if request.is_handshake and str(found.status) != UPGRADED:
        is_failed = not is_limited
    how = str(found.status) if found.status else (found.symptom.value if found.symptom else "no answer")
    is_failed = is_failed or (not is_limited and _is_refused(item, how))
    return msgspec.structs.replace(asked, is_failed=is_failed, is_limited=is_limited, how=how)


def _is_refused(item: Wanted, how: str) -> bool:
    """Return whether a page that clients got is refused now as a backend refuses one that it does not know, or a name."""
    return how in (*NOT_FOUND, *MISDIRECTED) and how not in item.usual and any("200" <= status < "400" for status in item.usual)


def _uncached(request: Request) -> Request:
    """Return the request with a query for which no response is cached."""
    mark = f"{'&' if '?' in request.path else '?'}why502={secrets.token_hex(4)}"
    return msgspec.structs.replace(request, path=request.path + mark)


def judge(before: Sequence[Asked], after: Sequence[Asked]) -> Verdict:
    """Return whether a change helps: no other request starts to fail, and at least one failing request of its route works now."""
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if not (old.is_limited or new.is_limited)]
    if harm := harmed(pairs):
        return harm
    failing = [(old, new) for old, new in pairs if old.is_failed]
    concerned = [(old, new) for old, new in failing if old.concerns] or failing
    if not concerned:
        reason = f"{_none(len(pairs))} failed before, and none fails now" if pairs else _unsent(before)
        return Verdict(helps=True, message=f"{reason}; the result cannot be verified, so watch live traffic", unverified=reason)
    proving = [(old, new) for old, new in concerned if old.is_from_log] or concerned  # others may fail beside them
    healed = [(old, new) for old, new in proving if _works(new) and new.how not in MISDIRECTED]
    if not healed:
        if why := _undecided(proving[0][1]):
            return Verdict(helps=True, message=why, unverified=why)
        return Verdict(helps=False, message=_unhealed(*proving[0]))
    old, new = next((pair for pair in healed if not _is_refusal(pair[1])), healed[0])
    doubt = f"{new.request.url} answers {new.how} now, which may not be what visitors got before" if _is_unusual(new) else ""
    rest = [new for old, new in failing if not _works(new) and (old.concerns or old.is_of_clients)]
    still = f"; {rest[0].request.url} still fails ({_answer(rest[0])})" if rest else ""
    others = len(pairs) - len(healed)
    same = f"; {others} other {'request is' if others == 1 else 'requests are'} unchanged" if others and not rest else ""
    message = f"{new.request.url} answered {old.how} before and {new.how} now{same}{still}"
    names = tuple(f"{one.request.url} ({_answer(one)})" for one in rest)
    return Verdict(helps=True, message=message, failing=names, unverified=doubt)


def only_waited(after: Sequence[Asked]) -> bool:
    """Return whether all requests that fail were only not answered within our own time: a full queue or a busy machine does that
    as well as a backend that fails.
    """
    failed = [asked.how for asked in after if asked.is_failed and not asked.is_from_log]
    return bool(failed) and WAITED.issuperset(failed)


def is_settled(before: Sequence[Asked], after: Sequence[Asked]) -> bool:
    """Return whether no request that failed is refused now: an application that is starting may answer 404 for a while."""
    return not any(
        old.is_failed and _is_refusal(new) and new.how not in new.usual for old, new in zip(before, after, strict=True)
    )


def _works(asked: Asked) -> bool:
    """Return whether a request is answered, and not by "not found" where clients were served: that is another failure.

    Where clients upgrade their connection, our plain request shows nothing of it.
    """
    is_found = asked.how not in NOT_FOUND or asked.how in asked.usual or UPGRADED in asked.usual
    return not asked.is_failed and (is_found or not any(status < "400" for status in asked.usual))


def _undecided(asked: Asked) -> str:
    """Return why a handshake that did not open a WebSocket shows nothing: the application answers it, but not with 426, so it may
    miss the login or the parameters of a client; else "".
    """
    if not asked.request.is_handshake or not asked.how.startswith("4") or asked.how == UPGRADE_REQUIRED:
        return ""
    return (
        f"our handshake of {asked.request.url} is answered {asked.how}, which may be for want of a client's login or parameters"
    )


def _unhealed(old: Asked, new: Asked) -> str:
    """Return how a request fails after a change that did not repair it, and how it failed before if that was otherwise."""
    if old.is_from_log or old.how == new.how:
        return f"{new.request.url} still fails ({_answer(new)})"
    return f"{new.request.url} still fails, but in another way: {old.how} before and {_answer(new)} now"


def _answer(asked: Asked) -> str:
    served = f", where clients got {' or '.join(asked.usual)} before" if not asked.is_failed and asked.usual else ""
    return f"{asked.how}{served}"


def _is_unusual(asked: Asked) -> bool:
    """Return whether an answer shows only that something answers, and clients are not known to have got it before."""
    return _is_refusal(asked) and asked.how not in asked.usual


def _is_refusal(asked: Asked) -> bool:
    """Return whether an answer shows only that something answers: 403, 404… A page for which visitors log in answers us 401."""
    return asked.how.startswith("4") and asked.how != "401"


def _unsent(before: Sequence[Asked]) -> str:
    """Return why no request shows anything."""
    return "the proxy's own limits refuse our requests" if before else "no request can be sent to that proxy from here"


def _none(count: int) -> str:
    return f"none of {count} requests" if count > 1 else "no request"


def spared(before: Sequence[Asked], after: Sequence[Asked], *, is_own_spared: bool) -> Verdict:
    """Return whether a mitigation harms no route. With `is_own_spared` False, its own route may fail: the proxy answers for
    it.
    """
    others = [pair for pair in zip(before, after, strict=True) if is_own_spared or not pair[0].concerns]
    own = "; ".join(f"{new.request.url} answers {new.how}" for new in after if new.concerns)
    return harmed(others) or Verdict(helps=True, message=own or "no other route is affected")


def harmed(pairs: Iterable[tuple[Asked, Asked]]) -> Verdict | None:
    """Return a message that names a request that worked before and fails now; None if there is none."""
    for old, new in pairs:
        if new.is_failed and not old.is_failed and not old.is_limited:
            return Verdict(helps=False, message=f"{new.request.url} answered {old.how} before and fails now ({new.how})")
    return None
