"""Failures that appear in both of Apache's logs, counted once."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.snapshot import Proxy

COUNTS_ONCE = True  # matching needs addresses that other settings provide
REQUESTS = 8  # maximum per tally
UNFIT = 9
_STATUSES = (Symptom.GATEWAY_STATUS, Symptom.UPSTREAM_STATUS)


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:  # noqa: ARG001 - all gateways are called alike
    """Return the summary with each failure of Apache counted once: its error log has no request by which to find the access
    line.

    Each error-log failure accounts for one access line with a server error, best matching status first. The remaining ones are
    joined only if unambiguous: if all lines of one request, status and target belong to one failure, it gets these requests.
    """
    tallies = list(summary.tallies)
    for place, failure in enumerate(tallies):
        if failure.proxy != "apache" or failure.symptom in (*_STATUSES, Symptom.APPLICATION_ERROR) or not failure.is_failure:
            continue
        left, again = failure.count, []
        for other in sorted(_access_lines(tallies, failure), key=lambda at: _fit(failure, tallies[at])):
            taken = min(left, tallies[other].count)
            left -= taken
            if taken:
                again.append((other, taken))
        whole = [at for at, taken in again if taken == tallies[at].count]
        if failure.status is None and not failure.requests and again and len(whole) == len(again):
            requests = Counter(dict(pair for at in whole for pair in tallies[at].requests)).most_common(REQUESTS)
            statuses = {tallies[at].status for at in whole}
            tallies[place] = replace(failure, requests=tuple(requests), status=statuses.pop() if len(statuses) == 1 else None)
        for at, taken in again:
            tallies[at] = _without(tallies[at], taken)
    return replace(summary, tallies=tuple(tally for tally in tallies if tally.count))


def _without(tally: Tally, taken: int) -> Tally:
    """Return a tally with fewer lines; no request may have a larger count."""
    left = tally.count - taken
    return replace(tally, count=left, requests=tuple((request, min(count, left)) for request, count in tally.requests))


def _access_lines(tallies: list[Tally], failure: Tally) -> list[int]:
    """Return the indices of tallies that only access lines report, for server errors that may belong to a failure."""
    return [
        at
        for at, tally in enumerate(tallies)
        if tally.symptom in _STATUSES
        and tally.status is not None
        and tally.target in (None, failure.target)
        and (
            tally.status == failure.status
            or (failure.status is None and _fit(failure, tally) < UNFIT)
            or _is_of_ajp(failure, tally)
        )
    ]


def _is_of_ajp(failure: Tally, tally: Tally) -> bool:
    """Return whether a 500 access line may belong to a broken exchange with an AJP backend (mod_proxy_ajp.c,
    ap_proxy_ajp_request).
    """
    return failure.protocol == "ajp" and tally.status == 500 and tally.target == failure.target and tally.proxy == failure.proxy


def _fit(failure: Tally, tally: Tally) -> int:
    """Return how well a status fits a failure: 0 is best, UNFIT means it cannot."""
    if failure.status is not None:
        return 0 if failure.status == tally.status else 1
    usual = (504, 502, 503) if failure.symptom is Symptom.READ_TIMED_OUT else (503, 502)
    return usual.index(tally.status) if tally.status in usual else UNFIT
