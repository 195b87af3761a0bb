"""Builds the report from the counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from why502.logs.scan import bursts
from why502.logs.scan.breakdown import Seen, by_step, status_name, summed
from why502.logs.scan.cause_rows import Meaning, Means, reasons
from why502.logs.scan.counts import REST, ROUTE, Counts, Ranking
from why502.logs.scan.fields import Condition, is_of_record
from why502.logs.scan.histogram import ERROR
from why502.logs.scan.report import File, Minute, Report, Row, Wording
from why502.logs.scan.targets import Known, compared
from why502.logs.scan.times import times
from why502.model.times import of_epoch

MOST_ROWS = 1000
MOST_WORDINGS = 100
MOST_MINUTES = 45 * 1440  # for a longer log the report shows hours


def report(
    counts: Counts,
    files: tuple[File, ...],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    only: str = "",
    where: tuple[Condition, ...] = (),
    by: str = "",
    known: Mapping[str, Known] | None = None,
    means: Means = lambda _symptom, _cause: Meaning(),
    is_partial: bool = False,
) -> Report:
    """Return the report of the counts. `means(symptom, cause)` names the cause of a symptom."""
    seen = Seen(counts)
    fails = seen.failures
    step = 1 if len(seen.requests.keys() | fails.keys()) <= MOST_MINUTES else 60
    return Report(
        files=files,
        since=since,
        until=until,
        first=_moment(counts.first),
        last=_moment(counts.last),
        is_partial=is_partial or counts.is_partial,
        only=only,
        where=tuple(map(str, where)),
        absent=tuple(one.field for one in where if one.field not in counts.seen and not is_of_record(one.field)),
        lines=counts.lines,
        unparsed=counts.unparsed,
        unparsed_first=tuple((place, text) for _, place, text in counts.unparsed_first),
        requests=seen.requests.total(),
        failures=fails.total(),
        recovered_requests=seen.recovered_requests,
        recovered_attempts=sum(seen.recovered.values()),
        by_status=dict(sorted(seen.by_status.items())),
        by_attempts=seen.attempts(),
        step_s=60 * step,
        minutes=_over_time(seen, fails, step),
        bursts=()
        if is_partial or counts.is_partial
        else bursts.find(bursts.Facets({} if only else seen.requests, fails, seen.facets)),
        causes=reasons(counts, seen, means),
        targets=compared(counts, seen, known or {}),
        routes=_rows(counts.routes, _statuses(counts), counts),
        servers=_rows(counts.servers, {}, None),
        clients=_rows(counts.clients, {}, None),
        by=by,
        asked=_rows(counts.asked, {}, None) if by else (),
        wordings=_wordings(counts),
        has_upstream_fields=counts.fields.upstream or any(outcome.tries for outcome in counts.outcomes),
        time_error=0.0 if counts.is_exact else ERROR,
        lost={
            name: ranking.lost
            for name, ranking in (
                *zip(("routes", "clients", "servers"), counts.rankings(), strict=True),
                ("values", counts.asked),
            )
            if ranking.lost
        },
    )


def _over_time(seen: Seen, fails: Mapping[int, int], step: int) -> tuple[Minute, ...]:
    statuses, symptoms = by_step(seen.facets["status"], step), by_step(seen.facets["symptom"], step)
    requests, failed, recovered = (summed(counts.items(), step) for counts in (seen.requests, fails, seen.recovered_minutes))
    return tuple(
        Minute(
            at=datetime.fromtimestamp(60 * minute, UTC),
            requests=requests.get(minute, 0),
            failures=failed.get(minute, 0),
            recovered=recovered.get(minute, 0),
            statuses=statuses.get(minute, {}),
            symptoms=symptoms.get(minute, {}),
        )
        for minute in sorted(requests.keys() | failed.keys())
    )


def _rows(ranking: Ranking, statuses: Mapping[str, dict[str, int]], counts: Counts | None) -> tuple[Row, ...]:
    """Return the rows worth showing: the most failing, the most frequent and (for routes) the slowest."""
    by_failures = sorted(ranking.failed, key=lambda name: (-ranking.failed[name], name))[:MOST_ROWS]
    by_requests = sorted(ranking.total, key=lambda name: (-ranking.total[name], name))[:MOST_ROWS]
    names = dict.fromkeys((*by_failures, *by_requests))
    return tuple(
        Row(
            name=name,
            requests=ranking.total[name],
            failures=ranking.failed[name],
            statuses=statuses.get(name, {}),
            times=times(counts, ROUTE, name) if counts else None,
        )
        for name in sorted(names, key=lambda name: (name == REST, -ranking.failed[name], -ranking.total[name], name))
    )


def _wordings(counts: Counts) -> tuple[Wording, ...]:
    rows = []
    for text, equal in counts.wordings.items():
        timed = [minute for minute, _ in equal.minutes.items() if minute >= 0]
        first, last = (datetime.fromtimestamp(60 * minute, UTC) for minute in (timed[0], timed[-1])) if timed else (None, None)
        rows.append(Wording(text=text, count=equal.minutes.total(), first=first, last=last, place=equal.place, sample=equal.text))
    return tuple(sorted(rows, key=lambda row: (-row.count, row.text))[:MOST_WORDINGS])


def _statuses(counts: Counts) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, status), count in sorted(counts.route_statuses.items()):
        found[name][status_name(status)] = count
    return found


def _moment(at: int | None) -> datetime | None:
    return of_epoch(at)
