"""The events of each minute: for `why502 logs --follow`, and for programs that keep counting."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from why502.logs.join import Errors, Joiner, requests
from why502.logs.scan.breakdown import Seen
from why502.logs.scan.counts import Counts
from why502.model.base import Value
from why502.model.logs import Symptom

# Responses that a proxy is configured to give: nothing is broken.
INTENDED = frozenset({Symptom.OWN_STATUS.value, Symptom.RATE_LIMITED.value, Symptom.DENIED_BY_RULE.value})


class Rates(Value, frozen=True, kw_only=True):
    """One minute. `failures`: requests whose client got a failure, `intended`: those caused by a rule of the proxy.

    The rest breaks down the others.
    """

    minute: int  # since the epoch
    requests: int = 0
    failures: int = 0
    intended: int = 0
    statuses: dict[str, int] = {}
    symptoms: dict[str, int] = {}
    targets: dict[str, int] = {}
    routes: dict[str, int] = {}


@dataclass(slots=True, kw_only=True)
class Interval:
    """The events since the previous interval.

    `left_bytes`: not read yet; `lost_bytes`: since the start; `reasons`: why logs cannot be read.
    """

    rates: Rates
    lines: int = 0
    unparsed: int = 0
    left_bytes: int = 0
    lost_bytes: int = 0
    reasons: dict[str, str] = field(default_factory=dict)


def rates(counts: Counts) -> tuple[Rates, ...]:
    """Return the counted minutes in time order. The reason of a failure is that of its error line, if it has one."""
    return rates_and_left(counts)[0]


def rates_and_left(counts: Counts) -> tuple[tuple[Rates, ...], Errors]:
    """Return the rates, and the error lines whose access lines are not among the counted ones."""
    seen = Seen(counts)
    facets = {
        name: _by_minute((value, minutes.items()) for value, minutes in values.items()) for name, values in seen.facets.items()
    }
    symptoms = facets["symptom"]
    joiner = Joiner(counts.errors.in_order())
    for request in requests(joiner, counts.failed.in_order()):
        reasons = [joiner.kinds[joiner.errors.shared[line]] for line in request.errors]
        failed = [one.kind.symptom.value for one in reasons if one.is_failure or one.kind.symptom is Symptom.RATE_LIMITED]
        if failed and not request.ended.is_own and (before := seen.reason(request.ended)):
            by = symptoms[int(request.line.at) // 60]
            by[before] -= 1
            by[failed[-1]] += 1
    failures = seen.failures
    found = tuple(
        Rates(
            minute=minute,
            requests=seen.requests[minute],
            failures=failures[minute],
            intended=sum(count for symptom, count in symptoms[minute].items() if symptom in INTENDED),
            statuses=_listed(facets["status"][minute]),
            symptoms=_listed(symptoms[minute]),
            targets=_listed(facets["target"][minute]),
            routes=_listed(facets["route"][minute]),
        )
        for minute in sorted(seen.requests.keys() | failures.keys())
    )
    return found, joiner.left()


def summed(minutes: Iterable[Rates]) -> Rates:
    """Return the sum of some minutes, with the time of the first."""
    minutes = tuple(minutes)
    names = ("statuses", "symptoms", "targets", "routes")
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for one in minutes:
        for name in names:
            found[name].update(getattr(one, name))
    return Rates(
        minute=minutes[0].minute if minutes else 0,
        requests=sum(one.requests for one in minutes),
        failures=sum(one.failures for one in minutes),
        intended=sum(one.intended for one in minutes),
        **{name: _listed(counter) for name, counter in found.items()},
    )


def _by_minute(values: Iterable[tuple[str, Iterable[tuple[int, int]]]]) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for name, minutes in values:
        for minute, count in minutes:
            found[minute][name] += count
    return found


def _listed(counts: Counter[str]) -> dict[str, int]:
    """Return the nonzero counts, the most frequent first."""
    return {name: count for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count > 0}
