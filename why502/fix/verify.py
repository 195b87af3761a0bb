"""Verification: the failing requests, and one request of every other route, sent through the proxy before and after a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from why502.diagnosis.index import addresses
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
LONGEST_S = 130.0  # where the proxy's own timer is what fails
LATE = (Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED)
SERVER_ERROR = 500
# What a server says to a client that speaks another protocol, or names another server: no cure for a failure.
MISDIRECTED = ("400", "421", "497")


class Asked(Value, frozen=True, kw_only=True):
    """One request and its result: status or symptom. `concerns`: it belongs to the route that is being fixed."""

    request: Request
    is_failed: bool
    how: str
    concerns: bool = False


class Verdict(Value, frozen=True, kw_only=True):
    """The verdict of the requests after a change."""

    helps: bool
    message: str


def requests(
    snapshot: Snapshot, at: Position | None, proxy: Proxy | None = None, urls: Iterable[str] = ()
) -> Iterator[tuple[Request, bool, int]]:
    """Yield what to ask: a request, whether it concerns the route at that place (None: all), and how often to ask it.

    Of a route those that failed and may be repeated (GET and HEAD that had no query, and did not cause their failure themselves),
    else one of its location. A group with several peers is asked more often, so that each of them gets its turn. `proxy` may be
    one that is to be started. Raises Why502Error for a URL that leads to no proxy.
    """
    running = [x for x in snapshot.proxies or () if (x.is_running or x is proxy) and not x.network]
    found: dict[tuple[object, ...], tuple[Request, bool, int]] = {}
    for url in urls:
        request = of_url(url, running)
        found[_key(request)] = (request, True, 1)
    every = [route for x in running for route in x.routes]
    for route in sorted(every, key=lambda route: at is not None and route.at != at)[:ROUTES]:
        concerns = at is None or route.at == at
        times = min(6, 2 * len(route.peers)) if len(route.peers) > 1 else 1
        for request in _of(route, snapshot):
            key = _key(request)
            known = found.get(key)
            found[key] = (request, concerns or bool(known and known[1]), max(times, known[2] if known else 1))
    yield from list(found.values())[:MOST]


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


def ask(host: Host, wanted: Iterable[tuple[Request, bool, int]]) -> tuple[Asked, ...]:
    """Return how each request went; asked several times, it failed where one of them did."""

    def one(item: tuple[Request, bool, int]) -> Asked:
        request, concerns, times = item
        asked = _asked(host, request, concerns=concerns)
        for _ in range(times - 1):
            asked = asked if asked.is_failed else _asked(host, request, concerns=concerns)
        return asked

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ask") as pool:
        return tuple(pool.map(one, wanted))


def again(host: Host, before: Sequence[Asked], times: Sequence[int] = ()) -> tuple[Asked, ...]:
    """Return how the same requests go now, in the same order. One that only now fails is given a second chance."""
    counts = times or [4 if asked.is_failed else 1 for asked in before]
    after = ask(host, [(asked.request, asked.concerns, count) for asked, count in zip(before, counts, strict=True)])
    return tuple(
        _asked(host, new.request, concerns=new.concerns) if new.is_failed and not old.is_failed else new
        for old, new in zip(before, after, strict=True)
    )


def _asked(host: Host, request: Request, *, concerns: bool) -> Asked:
    try:
        found = probe(host, request)
    except HostError as error:
        return Asked(request=request, is_failed=True, how=error.reason, concerns=concerns)
    is_failed = found.symptom is not None or (found.status or 0) >= SERVER_ERROR
    how = str(found.status) if found.status else (found.symptom.value if found.symptom else "no answer")
    return Asked(request=request, is_failed=is_failed, how=how, concerns=concerns)


def judge(before: Sequence[Asked], after: Sequence[Asked]) -> Verdict:
    """Return whether a change helps: no request fails that did not, and of the failing ones of its route one is healed."""
    pairs = list(zip(before, after, strict=True))
    if harm := harmed(pairs):
        return harm
    failing = [(old, new) for old, new in pairs if old.is_failed]
    concerned = [(old, new) for old, new in failing if old.concerns] or failing
    if not pairs:
        return Verdict(
            helps=True,
            message="no request can be sent to that proxy from here; the result cannot be verified, so watch live traffic",
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
    return Verdict(helps=True, message=f"{new.request.url} answered {old.how} before and {new.how} now{same}{still}")


def _none(count: int) -> str:
    return f"none of {count} requests" if count > 1 else "no request"


def spared(before: Sequence[Asked], after: Sequence[Asked], *, is_own_spared: bool) -> Verdict:
    """Return whether a lever harms no route; `is_own_spared` False: its own may fail, since it answers there itself."""
    others = [pair for pair in zip(before, after, strict=True) if is_own_spared or not pair[0].concerns]
    own = "; ".join(f"{new.request.url} answers {new.how}" for new in after if new.concerns)
    return harmed(others) or Verdict(helps=True, message=own or "no other route is affected")


def harmed(pairs: Iterable[tuple[Asked, Asked]]) -> Verdict | None:
    """Return what says that a request fails that worked before; None where none does."""
    for old, new in pairs:
        if new.is_failed and not old.is_failed:
            return Verdict(helps=False, message=f"{new.request.url} answered {old.how} before and fails now ({new.how})")
    return None
