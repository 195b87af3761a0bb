"""Request outcomes by minute, status, symptom, target and number of attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from why502.gateways.nginx.logs.access import NAME as NGINX_ACCESS
from why502.logs.held import Ended
from why502.logs.scan.counts import Counts, Tried
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.outcome import Outcome, of, reasons
from why502.logs.scan.report import Row
from why502.model.logs import LogRecord


class Seen:
    """The breakdown. `facets`: properties that the failures may share, by minute."""

    def __init__(self, counts: Counts) -> None:
        self.fields = counts.fields
        self.requests: Counter[int] = Counter()  # by minute
        self.by_status: Counter[str] = Counter()
        self.recovered: Counter[str] = Counter()  # attempts, by target
        self.recovered_minutes: Counter[int] = Counter()
        self.recovered_requests = 0
        self.tried: dict[str, Counter[str]] = defaultdict(Counter)  # target -> status
        self.failed: Counter[str] = Counter()  # attempts, by target
        self.symptoms: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # symptom and cause -> target
        self.symptom_spans: dict[tuple[str, str], tuple[int, int]] = {}
        self.facets: dict[str, dict[str, Minutes]] = {name: defaultdict(Minutes) for name in ("symptom", "target", "status")}
        self._attempts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        tries: dict[Outcome, list[tuple[int, str, Tried]]] = defaultdict(list)
        for (outcome, number, where), tried in counts.tries.items():
            tries[outcome].append((number, where, tried))
        for outcome, minutes in counts.outcomes.items():
            self._add(outcome, reasons(outcome, counts.fields), minutes, tries.get(outcome, []))
        self.facets["route"] = counts.route_minutes
        if not counts.outcomes and not counts.had_requests:
            self._listen(counts)

    @property
    def failures(self) -> Counter[int]:
        """Return the failures by minute."""
        found: Counter[int] = Counter()
        for minutes in self.facets["status" if self.requests else "symptom"].values():
            minutes.add_to(found)
        return found

    def reason(self, ended: Ended) -> str:
        """Return the symptom under which a failed request was counted; "" if it did not fail."""
        outcome = of(LogRecord(format=NGINX_ACCESS, status=ended.status, attempts=ended.attempts))[0]
        found = reasons(outcome, self.fields) if outcome.failed else ()
        return found[-1][1] if found else ""

    def attempts(self) -> dict[str, Row]:
        """Return the requests by their number of attempts."""
        return {
            str(number): Row(name=str(number), requests=all_, failures=failed)
            for number, (all_, failed) in sorted(self._attempts.items())
        }

    def _add(
        self,
        outcome: Outcome,
        symptoms: tuple[tuple[int | None, str], ...],
        minutes: Minutes,
        tries: list[tuple[int, str, Tried]],
    ) -> None:
        count, status = minutes.total(), status_name(outcome.status)
        minutes.add_to(self.requests)
        self.by_status[status] += count
        self._attempts[len(outcome.tries)][0] += count
        for number, where, tried in tries:
            if where:
                self.tried[where][status_name(outcome.tries[number].status)] += tried.count
        span = minutes.span()
        for at, symptom in symptoms:
            key = symptom, outcome.cause
            before = self.symptom_spans.get(key, span)
            self.symptom_spans[key] = min(span[0], before[0]), max(span[1], before[1])
            met = [(where, tried.count) for number, where, tried in tries if number == at]
            for where, times in met or [("", count)]:
                if where:
                    self.failed[where] += times
                self.symptoms[key][where] += times
                if not outcome.failed:
                    self.recovered[where] += times
            if not outcome.failed:
                minutes.add_to(self.recovered_minutes)
        if symptoms and not outcome.failed:
            self.recovered_requests += count
        if outcome.failed:
            self._attempts[len(outcome.tries)][1] += count
            at, symptom = symptoms[-1] if symptoms else (None, "")
            self.facets["status"][status].update(minutes)
            if symptom:
                self.facets["symptom"][symptom].update(minutes)
            for number, where, tried in tries:
                if number == at and where:
                    self.facets["target"][where].update(tried.minutes)

    def _listen(self, counts: Counts) -> None:
        """Count error-log lines as the failures because there is no access log."""
        for key, equal in counts.messages.items():
            if key.is_failure:
                for minute, count in equal.minutes.items():
                    if minute >= 0:
                        self.facets["symptom"][key.symptom].add(minute, count)
                        if key.target:
                            self.facets["target"][key.target].add(minute, count)


def status_name(status: int | None) -> str:
    """Return a status for display."""
    return "-" if status is None else f"{status:03d}"


def summed(minutes: Iterable[tuple[int, int]], step: int) -> dict[int, int]:
    """Return the sums over steps of `step` minutes, keyed by the first minute of each."""
    found: dict[int, int] = {}
    for minute, count in minutes:
        found[minute - minute % step] = found.get(minute - minute % step, 0) + count
    return found


def by_step(values: Mapping[str, Minutes], step: int) -> dict[int, dict[str, int]]:
    """Return the sums over steps of `step` minutes: minute -> value -> count."""
    found: dict[int, dict[str, int]] = {}
    for value, minutes in sorted(values.items()):
        for minute, count in summed(minutes.items(), step).items():
            found.setdefault(minute, {})[value] = count
    return found
