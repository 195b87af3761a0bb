"""From the counts to the report."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from why502.logs.scan import bursts
from why502.logs.scan.counts import CONNECT, HEADER, RESPONSE, REST, ROUTE, Counts, Ranking, middle
from why502.logs.scan.outcome import Outcome, reasons
from why502.logs.scan.report import CauseRow, File, Minute, Report, Row, TargetRow, Times

TIME_ERROR = 1 / 128
MOST_ROWS = 1000
_BAD_TIMES = 3.0  # so many times the others' share of failures
_BAD_LEAST = 10
_BAD_SIGMAS = 4.0


class Known(NamedTuple):
    """What the configuration tells of a target."""

    group: str = ""
    connect_timeout_s: float | None = None
    read_timeout_s: float | None = None


class Meaning(NamedTuple):
    """What a symptom usually stands for."""

    cause: str = ""
    says: str = ""
    side: str = ""


def report(
    counts: Counts,
    files: tuple[File, ...],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    only: str = "",
    known: Mapping[str, Known] | None = None,
    means: Callable[[str, str], Meaning] = lambda _symptom, _cause: Meaning(),
    is_partial: bool = False,
) -> Report:
    """Return what the counts say. `means(symptom, cause)` names the cause of a symptom."""
    seen = _Seen(counts)
    fails = Counter({minute: sum(statuses.values()) for minute, statuses in seen.statuses_failed.items()})
    if not counts.outcomes:  # no access log: the lines of the error log count
        for said, heard in counts.said.items():
            if said.is_failure:
                fails.update({minute: count for minute, count in heard.minutes.items() if minute >= 0})
                for minute, count in heard.minutes.items():
                    seen.facets["symptom"][minute][said.symptom] += count
                    if said.target:
                        seen.facets["target"][minute][said.target] += count
    facets = bursts.Facets(seen.requests, fails, {**seen.facets, "route": _by_minute(counts.route_minutes)})
    return Report(
        files=files,
        since=since,
        until=until,
        first=_moment(counts.first),
        last=_moment(counts.last),
        is_partial=is_partial or counts.is_partial,
        only=only,
        lines=counts.lines,
        unfit=counts.unfit,
        unfit_first=tuple((place, text) for _, place, text in counts.unfit_first),
        requests=seen.requests.total(),
        failures=sum(sum(statuses.values()) for statuses in seen.statuses_failed.values()) if counts.outcomes else fails.total(),
        hidden_requests=seen.hidden_requests,
        hidden_attempts=sum(seen.hidden.values()),
        by_status=dict(sorted(seen.by_status.items())),
        by_attempts={str(number): row for number, row in sorted(seen.attempts().items())},
        minutes=tuple(
            Minute(
                at=datetime.fromtimestamp(60 * minute, UTC),
                requests=seen.requests[minute],
                failures=fails[minute],
                hidden=seen.hidden_minutes[minute],
                statuses=dict(sorted(seen.statuses_failed[minute].items())) if minute in seen.statuses_failed else {},
                symptoms=dict(sorted(seen.facets["symptom"][minute].items())) if minute in seen.facets["symptom"] else {},
            )
            for minute in sorted(seen.requests.keys() | fails.keys())
        ),
        bursts=bursts.find(facets),
        causes=_causes(counts, seen, means),
        targets=_targets(counts, seen, known or {}),
        routes=_rows(counts.routes, _statuses(counts), counts),
        servers=_rows(counts.servers, {}, None),
        clients=_rows(counts.clients, {}, None),
        has_upstream_fields=counts.fields.upstream or any(outcome.tries for outcome in counts.outcomes),
        time_error=0.0 if counts.is_exact else TIME_ERROR,
        lost={
            name: ranking.lost
            for name, ranking in (("routes", counts.routes), ("clients", counts.clients), ("servers", counts.servers))
            if ranking.lost
        },
    )


class _Seen:
    """The outcomes, looked at from each side."""

    def __init__(self, counts: Counts) -> None:
        self.requests: Counter[int] = Counter()
        self.by_status: Counter[str] = Counter()
        self.statuses_failed: dict[int, Counter[str]] = defaultdict(Counter)
        self.hidden: Counter[str] = Counter()  # by target
        self.hidden_minutes: Counter[int] = Counter()
        self.hidden_requests = 0
        self.tried: dict[str, Counter[str]] = defaultdict(Counter)  # target -> status
        self.failed: Counter[str] = Counter()
        self.symptoms: dict[str, dict[str, Counter[str]]] = {}  # symptom -> cause -> target -> count
        self.symptom_minutes: dict[tuple[str, str], list[int]] = {}
        self.facets: dict[str, dict[int, Counter[str]]] = {name: defaultdict(Counter) for name in ("symptom", "target", "status")}
        self._attempts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for outcome, minutes in counts.outcomes.items():
            self._add(outcome, _told(outcome, counts), minutes)

    def _add(self, outcome: Outcome, told: _Told, minutes: Counter[int]) -> None:
        count = minutes.total()
        self.requests.update(minutes)
        self.by_status[told.status] += count
        self._attempts[len(outcome.tries)][0] += count
        for one in outcome.tries:
            if one.where:
                self.tried[one.where][_status(one.status)] += count
        for where, symptom in told.reasons:
            if where:
                self.failed[where] += count
            self.symptoms.setdefault(symptom, {}).setdefault(outcome.cause, Counter())[where] += count
            span = self.symptom_minutes.setdefault((symptom, outcome.cause), [min(minutes), max(minutes)])
            span[:] = [min(*minutes, *span), max(*minutes, *span)]
            if not told.failed:
                self.hidden[where] += count
                self.hidden_minutes.update(minutes)
        if told.reasons and not told.failed:
            self.hidden_requests += count
        if told.failed:
            self._fail(told, minutes)

    def _fail(self, told: _Told, minutes: Counter[int]) -> None:
        self._attempts[told.attempts][1] += minutes.total()
        where, symptom = told.reasons[-1] if told.reasons else ("", "")
        for minute, count in minutes.items():
            self.statuses_failed[minute][told.status] += count
            self.facets["status"][minute][told.status] += count
            if symptom:
                self.facets["symptom"][minute][symptom] += count
            if where:
                self.facets["target"][minute][where] += count

    def attempts(self) -> dict[int, Row]:
        """Return the requests by how many attempts they took."""
        return {
            number: Row(name=str(number), requests=all_, failures=failed) for number, (all_, failed) in self._attempts.items()
        }


class _Told(NamedTuple):
    status: str
    failed: bool
    attempts: int
    reasons: tuple[tuple[str, str], ...]  # target and symptom of each failed attempt


def _told(outcome: Outcome, counts: Counts) -> _Told:
    found = tuple((one.where if one else "", symptom) for one, symptom in reasons(outcome, counts.fields))
    return _Told(_status(outcome.status), outcome.failed, len(outcome.tries), found)


def _causes(counts: Counts, seen: _Seen, means: Callable[[str, str], Meaning]) -> tuple[CauseRow, ...]:
    rows = []
    for symptom, by_cause in seen.symptoms.items():
        for cause, targets in by_cause.items():
            first, last = seen.symptom_minutes[symptom, cause]
            rows.append(
                _cause(
                    symptom,
                    means(symptom, cause),
                    targets.total(),
                    targets,
                    "access",
                    first=_moment(60 * first),
                    last=_moment(60 * last),
                )
            )
    said: dict[tuple[str, str, bool], list[tuple[str, Counter[int], str, str]]] = defaultdict(list)
    for one, heard in counts.said.items():
        said[one.symptom, one.cause, one.is_failure].append((one.target, heard.minutes, heard.place, heard.text))
    for (symptom, cause, is_failure), heards in said.items():
        targets, minutes = Counter[str](), Counter[int]()
        for target, its, _, _ in heards:
            targets[target] += its.total()
            minutes.update(its)
        timed = [minute for minute in minutes if minute >= 0]
        rows.append(
            _cause(
                symptom,
                means(symptom, cause),
                minutes.total(),
                targets,
                "error",
                is_failure=is_failure,
                first=_moment(60 * min(timed)) if timed else None,
                last=_moment(60 * max(timed)) if timed else None,
                place=heards[0][2],
                text=heards[0][3],
            )
        )
    return tuple(sorted(rows, key=lambda row: (not row.is_failure, -row.count, row.symptom, row.source)))


def _cause(
    symptom: str,
    meaning: Meaning,
    count: int,
    targets: Counter[str],
    source: str,
    *,
    is_failure: bool = True,
    first: datetime | None = None,
    last: datetime | None = None,
    place: str = "",
    text: str = "",
) -> CauseRow:
    return CauseRow(
        symptom=symptom,
        cause=meaning.cause,
        says=meaning.says,
        side=meaning.side,
        source=source,
        count=count,
        is_failure=is_failure,
        targets={target: number for target, number in sorted(targets.items(), key=lambda item: (-item[1], item[0])) if target},
        first=first,
        last=last,
        place=place,
        text=text,
    )


def _targets(counts: Counts, seen: _Seen, known: Mapping[str, Known]) -> tuple[TargetRow, ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for target in seen.tried:
        groups[known.get(target, Known()).group].append(target)
    rows = []
    for group, members in groups.items():
        attempts = sum(seen.tried[target].total() for target in members)
        failures = sum(seen.failed[target] for target in members)
        for target in members:
            mine, failed = seen.tried[target].total(), seen.failed[target]
            others, others_failed = attempts - mine, failures - failed
            told = known.get(target, Known())
            rows.append(
                TargetRow(
                    target=target,
                    group=group,
                    attempts=mine,
                    failures=failed,
                    hidden=seen.hidden[target],
                    statuses=dict(sorted(seen.tried[target].items())),
                    connect=_times(counts, CONNECT, target),
                    header=_times(counts, HEADER, target),
                    response=_times(counts, RESPONSE, target),
                    connect_timeout_s=told.connect_timeout_s,
                    read_timeout_s=told.read_timeout_s,
                    is_bad=is_worse(failed, mine, others_failed, others),
                    others_share=others_failed / others if others else None,
                )
            )
    return tuple(sorted(rows, key=lambda row: (-row.failures, -row.attempts, row.target)))


def is_worse(failed: int, tried: int, others_failed: int, others: int) -> bool:
    """Return whether one fails far more often than the others do: by share, not by number, so weights and canaries do not count."""
    if not tried or not others or failed < _BAD_LEAST:
        return False
    mine, theirs, both = failed / tried, others_failed / others, (failed + others_failed) / (tried + others)
    spread = math.sqrt(both * (1 - both) * (1 / tried + 1 / others))
    return mine >= _BAD_TIMES * theirs and (mine - theirs) >= _BAD_SIGMAS * spread


def _rows(ranking: Ranking, statuses: Mapping[str, dict[str, int]], counts: Counts | None) -> tuple[Row, ...]:
    """Return the rows worth showing: the most failing, the most frequent and (of routes) the slowest ones."""
    by_failures = sorted(ranking.failed, key=lambda name: (-ranking.failed[name], name))[:MOST_ROWS]
    by_requests = sorted(ranking.total, key=lambda name: (-ranking.total[name], name))[:MOST_ROWS]
    names = dict.fromkeys((*by_failures, *by_requests))
    return tuple(
        Row(
            name=name,
            requests=ranking.total[name],
            failures=ranking.failed[name],
            statuses=statuses.get(name, {}),
            times=_times(counts, ROUTE, name) if counts else None,
        )
        for name in sorted(names, key=lambda name: (name == REST, -ranking.failed[name], -ranking.total[name], name))
    )


def _statuses(counts: Counts) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, status), count in sorted(counts.route_statuses.items()):
        found[name][_status(status)] = count
    return found


def _times(counts: Counts, whose: int, name: str) -> Times | None:
    times = counts.times.get((whose, name))
    if not times:
        return None
    found = _percentiles(times, (0.5, 0.9, 0.95, 0.99, 1.0), middle if not counts.is_exact else float)
    return Times(count=times.total(), p50_s=found[0], p90_s=found[1], p95_s=found[2], p99_s=found[3], max_s=found[4])


def _percentiles(times: Counter[int], shares: Iterable[float], value: Callable[[int], float]) -> list[float]:
    """Return the nearest-rank percentiles, in seconds."""
    total = times.total()
    found, passed, ordered = [], 0, iter(sorted(times.items()))
    at, count = next(ordered)
    for share in shares:
        rank = max(math.ceil(share * total), 1)
        while passed + count < rank:
            passed += count
            at, count = next(ordered)
        found.append(round(value(at) / 1e6, 6))
    return found


def _by_minute(counts: Counter[tuple[str, int]]) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for (name, minute), count in counts.items():
        found[minute][name] += count
    return found


def _status(status: int | None) -> str:
    return "-" if status is None else f"{status:03d}"


def _moment(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
