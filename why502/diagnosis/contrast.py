"""Compares failing with successful requests.

If only one path fails, the fault is in the code that serves that path, not in the whole target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.slots import slots
from why502.logs.scan.routes import route
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.snapshot import Event

IDLE = 0.02  # of a processor
FEW = 3  # failures; with fewer, "all of them" means nothing
SEVERAL = 2  # requests for one path without an answer
MANY = 5  # answered requests of other paths
MOST = 0.5  # of the requests of other paths that must be answered
AT_ONCE_S = 0.2  # an answer that waited for nothing
CLOCK = timedelta(seconds=1)
LONGEST_S = 3600.0  # of a read timeout
BREAKS = 2  # times as many requests that the proxy gave up as connections that broke
_BREAKS = (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
_OF_WAITING = lazy(
    r"(?i)broken ?pipe|\bEPIPE\b|\breset\b|ECONN|abort|cancel|time[d ]*-?out|closed|disconnect|refused|unreachable"
)


@dataclass(frozen=True, slots=True)
class Apart:
    """A path without any answer, while other paths were answered."""

    request: str  # "GET /report", numbers as *
    failed: int
    others_answered: int
    others: int

    @property
    def message(self) -> str:
        """Return one sentence about it."""
        times = "the one request" if self.failed == 1 else f"none of {self.failed} requests"
        verb = "was not answered" if self.failed == 1 else "was answered"
        return f"{times} for {self.request} {verb} in time; {self.others_answered} of {self.others} others were"


def alone(case: Case) -> str:
    """Return that all failures of the target are on one path, and how many other requests succeeded; "" if that is not so."""
    failed, total = _failed(case), sum(tally.count for tally in case.failures)
    if len(failed) != 1 or total < FEW or sum(failed.values()) < total:
        return ""
    (request,) = failed
    others = [path for path in _paths(case) if path.request != request]
    answered = sum(path.answered for path in others)
    return f"all {total} failures are {request}; {answered} other requests succeeded" if answered >= MANY else ""


def other_path_s(case: Case) -> float | None:
    """Return the seconds until the slowest probe of a path that did not fail was answered; None if none was."""
    return max(
        (p.first_byte_s for p in case.probes if p.is_answer and not p.repeats and p.first_byte_s is not None), default=None
    )


def spared(case: Case) -> str:
    """Return that only one path fails while a probe of another is answered at once: not everything is slow. "" otherwise."""
    took_s = other_path_s(case)
    if took_s is None or took_s > AT_ONCE_S or not (message := alone(case)):
        return ""
    return f"{message}, and a probe of another path took {took_s:.2f} s"


def never_answered(case: Case) -> Apart | None:
    """Return the path that is slow by itself: each request for it timed out, while most others were answered, also after it was
    first requested.

    The other failed requests waited behind it for a worker: each of their paths was answered at other times.
    """
    late = [tally for tally in case.failures if tally.symptom is Symptom.READ_TIMED_OUT]
    began = min((tally.first for tally in late if tally.first), default=None)
    failed = _failed(case) if late and began is not None else Counter[str]()
    if began is None or not any(count >= SEVERAL for count in failed.values()) or not (paths := _paths(case)):
        return None
    by_request: dict[str, list[PathTraffic]] = {}
    for path in paths:
        by_request.setdefault(path.request, []).append(path)
    if any(request not in by_request for request in failed):
        return None  # it is unknown what else was answered there
    stuck = [request for request in failed if not sum(path.answered for path in by_request[request])]
    if len(stuck) != 1 or failed[stuck[0]] < SEVERAL or _breaks_off(case, stuck[0]):
        return None
    others = [path for path in paths if path.request != stuck[0]]
    answered, every = sum(path.answered for path in others), sum(path.requests for path in others)
    limit = timedelta(seconds=case.route.read_timeout_s if case.route else 0.0)
    if answered < MANY or answered < MOST * every or not _is_served_since(others, began - limit - CLOCK):
        return None
    if len(failed) > 1 and stands_still(case):
        return None
    return Apart(stuck[0], failed[stuck[0]], answered, every)


def stands_still(case: Case) -> bool:
    """Return whether requests for several paths time out, and none of any path was answered for as long as the proxy waits.

    If workers are only busy with one slow path, others are answered whenever one of these requests ends.
    """
    late = [tally for tally in case.failures if tally.symptom is Symptom.READ_TIMED_OUT]
    began = min((tally.first for tally in late if tally.first), default=None)
    ended = max((tally.last for tally in late if tally.last), default=None)
    limit_s = case.route.read_timeout_s if case.route else 0.0
    if began is None or ended is None or not 0 < limit_s <= LONGEST_S or len(_failed(case, Symptom.READ_TIMED_OUT)) < SEVERAL:
        return False
    answered = max((path.last_served for path in _paths(case) if path.last_served is not None), default=None)
    return ended - began >= timedelta(seconds=limit_s) and (answered is None or answered < began - timedelta(seconds=limit_s / 2))


def idles(case: Case) -> str:
    """Return a message that it stands still and waits for nothing: it uses no processor time, no dependency owes it an answer,
    and its processes hold more connections than they could if each served one. "" otherwise, or if a part of that is unknown.
    """
    kernel = case.host.kernel if case.host else None
    used = kernel.of(case.target, kernel.backend_cpu) if kernel else None
    held = (kernel.of(case.target, kernel.accepted) or 0) if kernel else 0
    if used is None or used > IDLE or case.here.dependencies is None:
        return ""
    if held <= max(len(case.processes), FEW) or slots(case) is not None:
        return ""
    if any(peer.waiting or peer.connecting for peer in case.dependencies) or not stands_still(case):
        return ""
    return f"it holds {held} connections, has answered no path for as long as the proxy waits, and uses no processor time"


def given_up_before(case: Case, kill: Event) -> Tally | None:
    """Return the requests that the proxy gave up, if they are most of the failures, and the first was before an application
    server killed a worker; None if not.
    """
    late = case.tally(Symptom.READ_TIMED_OUT)
    if late is None or late.first is None or kill.at is None or late.first >= kill.at - CLOCK:
        return None
    broken = sum(tally.count for tally in case.failures if tally.symptom in _BREAKS)
    if any(_breaks_off(case, path.request) for path in _paths(case) if path.request and not path.answered):
        return None  # the others waited behind these, for the worker that was killed
    return late if late.count > BREAKS * broken else None


def _breaks_off(case: Case, request: str) -> bool:
    """Return whether several requests for a path broke off, more than the proxy gave up: what serves it is ended first."""
    broken = _failed(case, *_BREAKS)[request]
    return broken >= SEVERAL and broken > _failed(case, Symptom.READ_TIMED_OUT)[request]


def unfinished(case: Case) -> Event | None:
    """Return the application's error that may have left the requests of a path without any answer; None if there is none.

    A handler that fails in a callback or a promise answers nothing. Errors of connections are effects of the wait.
    """
    apart, first, last = never_answered(case), case.first_failure, case.last_failure
    if apart is None or first is None or last is None:
        return None
    limit = timedelta(seconds=min(case.route.read_timeout_s, LONGEST_S) if case.route else 0.0)
    for event in case.events(Symptom.APPLICATION_ERROR):
        if event.at is None or event.ended_at is None or _OF_WAITING.search(event.detail or event.message):
            continue
        if event.ended_at >= first - limit - CLOCK and event.at <= last + limit + CLOCK:
            return event
    return None


def _is_served_since(paths: Iterable[PathTraffic], began: datetime) -> bool:
    """Return whether one of these paths was answered after the first request for the slow one: so not every worker was stuck."""
    return any(path.last_served is not None and path.last_served >= began for path in paths)


def _failed(case: Case, *symptoms: Symptom) -> Counter[str]:
    """Return the number of failures of each path on the target, as far as its logs name it. `symptoms`: of these alone."""
    found: Counter[str] = Counter()
    for tally in case.failures if not symptoms else (tally for tally in case.failures if tally.symptom in symptoms):
        for request, count in tally.requests:
            found[route(request if " " in request else f"GET {request}")] += count
    return found


def _paths(case: Case) -> tuple[PathTraffic, ...]:
    """Return the traffic of the paths that the target's routes serve, and of paths that several servers have."""
    return case.joins.paths_to(case.target) if case.target is not None else ()
