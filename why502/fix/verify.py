"""Verification: the failing requests, and one request of every other route, sent through the proxy before and after a change."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from why502.diagnosis.index import addresses
from why502.gateways.behaviour import behaviour
from why502.host.base import Host
from why502.model.base import Value
from why502.model.config import Position, Route
from why502.model.errors import HostError
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Proxy, Snapshot
from why502.probing.entrance import of_route, of_url
from why502.probing.plan import fits, harmful
from why502.probing.probe import probe
from why502.probing.request import Request

FAILED = 8  # requests that failed, for each route
ROUTES = 32
MOST = 96
AT_ONCE = 4  # few: the proxy may be short of connections
ANSWER_S = 10.0
LONGEST_S = 130.0  # for failures caused by the proxy's own timer
LIMITS = ("limit_req", "limit_conn")
CACHING = ("proxy", "fastcgi", "uwsgi", "scgi")
LATE = (Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED)
HTTP = 80
SERVER_ERROR = 500
PAUSES_S = (1.2, 3.0, 7.0)  # wait before repeating a request that the proxy's own limit rejected: 10 a minute is one in 6 s
# Responses to a client that uses the wrong protocol or server name. They do not show that a failure is fixed.
MISDIRECTED = ("400", "421", "497")


class Asked(Value, frozen=True, kw_only=True):
    """One request and its result: status or symptom. `concerns`: it belongs to the route that is being fixed."""

    request: Request
    is_failed: bool
    how: str
    concerns: bool = False
    limits: tuple[int, ...] = ()  # the statuses that the proxy's own limits return there
    is_limited: bool = False  # a limit rejected every attempt, so the result shows nothing about the backend
    is_cached: bool = False  # the proxy caches responses there, so each of our requests has a different query


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request to send: whether it belongs to the route that is being fixed, and how often it is sent."""

    request: Request
    concerns: bool = False
    times: int = 1
    limits: tuple[int, ...] = ()
    is_cached: bool = False


class Verdict(Value, frozen=True, kw_only=True):
    """The verdict of the requests after a change."""

    helps: bool
    message: str
    failing: tuple[str, ...] = ()  # if it helps: addresses of requests that it should have fixed and that still fail


def requests(
    snapshot: Snapshot, places: Sequence[Position], proxy: Proxy | None = None, urls: Iterable[str] = ()
) -> Iterator[Wanted]:
    """Yield the requests to send, those of the routes at these places (none: all routes) first.

    For each route, failed requests are repeated if that is safe: GET and HEAD that had no query and did not cause their failure
    themselves. If there are none, one request for its location is sent. A group with several peers is requested more often, so
    that each peer gets a turn, but only once if the proxy limits the rate. `proxy` may be one that is to be started. Raises
    Why502Error for a URL that leads to no proxy.
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
        for request in _of(route, snapshot):
            known = found.get(_key(request))
            found[_key(request)] = Wanted(
                request,
                concerns=not places or route.at in places or bool(known and known.concerns),
                times=max(times, known.times if known else 1),
                limits=limits,
                is_cached=_keeps_answers(route),
            )
    yield from list(found.values())[:MOST]


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


def _keeps_answers(route: Route) -> bool:
    return any((found := route.setting(f"{name}_cache")) and found.args[:1] not in ((), ("off",)) for name in CACHING)


def _of(route: Route, snapshot: Snapshot) -> Iterator[Request]:
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
    wanted = [single for text, single in singles.items() if fits(route, text.partition(" ")[2])][:FAILED]
    targets = {target for peer in route.peers for target in addresses(peer, snapshot)} | {tally.target for tally in tallies} - {
        None
    }
    harm = frozenset(path for target in targets if target for path in harmful(snapshot, target))
    made = [request for single in wanted if (request := of_route(route, (single,), harm)) and request.repeats]
    for request in made or filter(None, [of_route(route, (), harm)]):
        answer_s = min(LONGEST_S, 2 * route.read_limit_s + 5) if is_late else ANSWER_S
        yield msgspec.structs.replace(request, answer_s=max(ANSWER_S, answer_s), repeats=False)


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
            times=4 if old.is_failed and not old.limits else 1,
            limits=old.limits,
            is_cached=old.is_cached,
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
    )
    try:
        found = probe(host, request)
    except HostError as error:
        return msgspec.structs.replace(asked, how=error.reason)
    is_limited = found.status in item.limits
    is_failed = (found.symptom is not None or (found.status or 0) >= SERVER_ERROR) and not is_limited
    how = str(found.status) if found.status else (found.symptom.value if found.symptom else "no answer")
    return msgspec.structs.replace(asked, is_failed=is_failed, is_limited=is_limited, how=how)


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
    if not pairs:
        why = "the proxy's own limits refuse our requests" if before else "no request can be sent to that proxy from here"
        return Verdict(
            helps=True,
            message=f"{why}; the result cannot be verified, so watch live traffic",
        )
    if not concerned:
        return Verdict(
            helps=True,
            message=f"{_none(len(pairs))} failed before, and none fails now; the result cannot be verified, so watch "
            "live traffic",
        )
    healed = [(old, new) for old, new in concerned if not new.is_failed and new.how not in MISDIRECTED]
    if not healed:
        _, new = concerned[0]
        return Verdict(helps=False, message=f"{new.request.url} still fails ({new.how})")
    old, new = healed[0]
    rest = [new for old, new in concerned if new.is_failed]
    still = f"; {rest[0].request.url} still fails ({rest[0].how})" if rest else ""
    others = len(pairs) - len(healed)
    same = f"; {others} other {'request is' if others == 1 else 'requests are'} unchanged" if others and not rest else ""
    message = f"{new.request.url} answered {old.how} before and {new.how} now{same}{still}"
    return Verdict(helps=True, message=message, failing=tuple(f"{one.request.url} ({one.how})" for one in rest))


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
