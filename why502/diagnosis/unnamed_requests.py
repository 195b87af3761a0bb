"""Messages that a gateway logs without the request and the backend, divided by the answers that clients got.

Such are those of Apache about FastCGI (AH01071, AH01075). The access line of a request that timed out has the time of its begin,
so that nothing joins the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from why502.diagnosis.ways import MOST_REQUESTS, Ways, divided
from why502.gateways.behaviour import behaviour
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.target import Target

_ANSWERS = {  # what a client gets with such a message
    Symptom.APPLICATION_ERROR: frozenset({"500"}),
    Symptom.SCRIPT_NOT_FOUND: frozenset({"403", "404"}),
    Symptom.READ_TIMED_OUT: frozenset({"504"}),
    Symptom.CLOSED_BEFORE_HEADER: frozenset({"502", "503"}),
    Symptom.RESET_BEFORE_HEADER: frozenset({"502", "503"}),
}
_Parts = dict[Target | None, list[tuple[str, int]]]


def by_answers(tallies: Iterable[Tally], paths: Sequence[PathTraffic], known: Mapping[str, Ways]) -> tuple[Tally, ...]:
    """Return the tallies. Messages that name neither a target nor a request are those of the targets whose clients got the
    answer that such a message goes with, if there are as many of the one as of the other.

    `paths`: with the route that each takes. If more clients of several targets got that answer than messages were logged, some of
    them got it for another reason. If fewer than half as many did, most of the messages are about something else. Then it is
    unknown whose they are.
    """
    found = tuple(tallies)
    return tuple(part for tally in found for part in _divided(tally, found, paths, known))


def _divided(tally: Tally, others: Sequence[Tally], paths: Sequence[PathTraffic], known: Mapping[str, Ways]) -> Iterator[Tally]:
    ways = known.get(tally.proxy or "")
    if (
        ways is None
        or tally.symptom not in _ANSWERS
        or not is_unnamed(tally)
        or tally.symptom not in behaviour(ways.kind).unplaced
    ):
        yield tally
        return
    alike = [each for each in others if _key(each) == _key(tally)]
    parts = _refused(ways, tally, paths)
    refused, told = sum(count for each in parts.values() for _, count in each), sum(each.count for each in alike)
    is_one = len(parts) == 1  # then some answers may have another reason: the messages are still about this target
    if None in parts or told > 2 * refused or (refused > told and not is_one):
        yield tally
    elif is_one:
        ((target, requests),) = parts.items()
        named = tuple(each for each in requests if each[0])[:MOST_REQUESTS] if len(alike) == 1 else ()
        yield msgspec.structs.replace(tally, target=target, requests=named)
    elif len(alike) == 1:
        yield from divided(tally, parts)
    else:  # which of the messages is whose is unknown
        yield tally


def is_unnamed(tally: Tally) -> bool:
    """Return whether a gateway's messages name neither a backend nor a request."""
    return tally.target is None and not tally.group and not tally.requests


def _key(tally: Tally) -> tuple[Symptom, str | None, str, int]:
    return tally.symptom, tally.proxy, tally.protocol, tally.owner_uid


def _refused(ways: Ways, tally: Tally, paths: Sequence[PathTraffic]) -> _Parts:
    """Return the requests with such an answer, "" for those of several paths, and how many there were of each, by the target of
    their route, None where that is unknown.
    """
    routes = {route.at: route for proxy in ways.proxies for route in proxy.routes if route.protocol == tally.protocol}
    found: _Parts = {}
    for path in paths:
        route = routes.get(path.at) if path.at is not None else None
        count = sum(path.statuses.get(status, 0) for status in _ANSWERS[tally.symptom])
        if route is None or not count:
            continue
        ends = ways.ends(route)
        only = next(iter(ends)) if len(ends) == 1 else None
        found.setdefault(only if only and only.is_address else None, []).append((path.request, count))
    return {target: sorted(each, key=lambda one: -one[1]) for target, each in found.items()}
