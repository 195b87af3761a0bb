"""Request outcomes by minute, status, symptom, target and number of attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import Outcome, reasons
from why502.logs.scan.report import Row


class Seen:
    """What is summed up. `facets`: what the failures may have in common, by minute."""

    def __init__(self, counts: Counts) -> None:
        self.requests: Counter[int] = Counter()  # by minute
        self.by_status: Counter[str] = Counter()
        self.hidden: Counter[str] = Counter()  # attempts, by target
        self.hidden_minutes: Counter[int] = Counter()
        self.hidden_requests = 0
        self.tried: dict[str, Counter[str]] = defaultdict(Counter)  # target -> status
        self.failed: Counter[str] = Counter()  # attempts, by target
        self.symptoms: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # symptom and cause -> target
        self.symptom_spans: dict[tuple[str, str], tuple[int, int]] = {}
        self.facets: dict[str, dict[str, Minutes]] = {name: defaultdict(Minutes) for name in ("symptom", "target", "status")}
        self._attempts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for outcome, minutes in counts.outcomes.items():
            self._add(outcome, _told(outcome, counts), minutes)
        self.facets["route"] = counts.route_minutes
        if not counts.outcomes:
            self._listen(counts)

    @property
    def failures(self) -> Counter[int]:
        """Return the failures by minute."""
        found: Counter[int] = Counter()
        for minutes in self.facets["status" if self.requests else "symptom"].values():
            minutes.add_to(found)
        return found

    def attempts(self) -> dict[str, Row]:
        """Return the requests by how many attempts they took."""
        return {
            str(number): Row(name=str(number), requests=all_, failures=failed)
            for number, (all_, failed) in sorted(self._attempts.items())
        }

    def _add(self, outcome: Outcome, told: _Told, minutes: Minutes) -> None:
        count = minutes.total()
        minutes.add_to(self.requests)
        self.by_status[told.status] += count
        self._attempts[len(outcome.tries)][0] += count
        for one in outcome.tries:
            if one.where:
                self.tried[one.where][status_name(one.status)] += count
        first, last = minutes.span()
        for where, symptom in told.reasons:
            if where:
                self.failed[where] += count
            key = symptom, outcome.cause
            self.symptoms[key][where] += count
            before = self.symptom_spans.get(key, (first, last))
            self.symptom_spans[key] = min(first, before[0]), max(last, before[1])
            if not told.failed:
                self.hidden[where] += count
                minutes.add_to(self.hidden_minutes)
        if told.reasons and not told.failed:
            self.hidden_requests += count
        if told.failed:
            self._attempts[len(outcome.tries)][1] += count
            where, symptom = told.reasons[-1] if told.reasons else ("", "")
            for facet, value in (("status", told.status), ("symptom", symptom), ("target", where)):
                if value:
                    self.facets[facet][value].update(minutes)

    def _listen(self, counts: Counts) -> None:
        """Take the lines of error logs for the failures: there is no access log."""
        for said, heard in counts.said.items():
            if said.is_failure:
                for minute, count in heard.minutes.items():
                    if minute >= 0:
                        self.facets["symptom"][said.symptom].add(minute, count)
                        if said.target:
                            self.facets["target"][said.target].add(minute, count)


class _Told(NamedTuple):
    status: str
    failed: bool
    reasons: tuple[tuple[str, str], ...]  # target and symptom of each failed attempt


def _told(outcome: Outcome, counts: Counts) -> _Told:
    found = tuple((one.where if one else "", symptom) for one, symptom in reasons(outcome, counts.fields))
    return _Told(status_name(outcome.status), outcome.failed, found)


def status_name(status: int | None) -> str:
    """Return a status as it is shown."""
    return "-" if status is None else f"{status:03d}"


def summed(minutes: Iterable[tuple[int, int]], step: int) -> dict[int, int]:
    """Return the sums over each so many minutes, by the first of them."""
    found: dict[int, int] = {}
    for minute, count in minutes:
        found[minute - minute % step] = found.get(minute - minute % step, 0) + count
    return found


def by_step(values: Mapping[str, Minutes], step: int) -> dict[int, dict[str, int]]:
    """Return the sums over each so many minutes: minute -> value -> count."""
    found: dict[int, dict[str, int]] = {}
    for value, minutes in sorted(values.items()):
        for minute, count in summed(minutes.items(), step).items():
            found.setdefault(minute, {})[value] = count
    return found
