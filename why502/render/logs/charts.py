"""The plots of the log report: failures over time, failed attempts and response times by target."""

from __future__ import annotations

import math
from collections import Counter

from why502.logs.scan.report import Report, TargetRow, Times
from why502.model.times import of_epoch
from why502.render.plots import Box, Lane, Series, Span, bars, lanes, round_up

_COLUMNS = 120  # of the plot over time; more minutes are summed up
_SYMPTOMS = 5
_TARGETS = 24
_LEAST_S = 0.001  # the resolution of most logs
_QUANTILES = ("p50_s", "p95_s", "p99_s", "max_s")


def over_time(report: Report) -> str:
    """Return the failures over time by their most common symptoms, with the bursts marked; "" where nothing failed."""
    if not any(minute.failures for minute in report.minutes):
        return ""
    first, last = (int(minute.at.timestamp()) for minute in (report.minutes[0], report.minutes[-1]))
    step = report.step_s * -(-((last - first) // report.step_s + 1) // _COLUMNS)
    columns: list[Counter[str]] = [Counter() for _ in range(first, last + 1, step)]
    names = {row.symptom: row.cause for row in report.causes if row.cause}
    for minute in report.minutes:
        column = columns[(int(minute.at.timestamp()) - first) // step]
        for symptom, count in minute.symptoms.items():
            column[names.get(symptom, symptom)] += count
        column["no known symptom"] += max(minute.failures - sum(minute.symptoms.values()), 0)
    totals = sum(columns, Counter())
    shown = [name for name, count in totals.most_common(_SYMPTOMS) if count]
    series = [Series(name=name, counts=tuple(column[name] for column in columns)) for name in shown]
    rest = tuple(column.total() - sum(column[name] for name in shown) for column in columns)
    if any(rest):
        series.append(Series(name="others", counts=rest))
    times = [f"{of_epoch(first + number * step):%Y-%m-%d %H:%M}Z" for number in range(len(columns))]
    spans = [
        Span(
            name=f"burst: {burst.failures} failures",
            begin=max((burst.start.timestamp() - first) / step, 0),
            end=min((burst.end.timestamp() - first) / step, len(columns)),
        )
        for burst in report.bursts
    ]
    return bars(
        series,
        times,
        label=f"Failures over time, from {times[0]} to {times[-1]}; the most common: {', '.join(shown[:3])}",
        axis=(times[0], times[len(times) // 2], times[-1]) if len(times) > 2 else times,
        spans=spans,
    )


def by_target(report: Report) -> str:
    """Return the share of attempts that failed at each target; "" where none failed."""
    rows = [row for row in report.targets[:_TARGETS] if row.attempts]
    if not any(row.failures for row in rows):
        return ""
    top = round_up(100 * max(row.share for row in rows)) / 100
    found = []
    for row in rows:
        recovered = min(row.recovered, row.failures) / row.attempts
        lost = row.share - recovered
        parts = (Box(begin=0, end=lost / top, place=0), Box(begin=lost / top, end=row.share / top, place=1))
        found.append(
            Lane(
                name=row.target,
                text=f"{row.target}: {100 * row.share:.2f} % of attempts failed, {100 * recovered:.2f} % recovered by a retry",
                boxes=tuple(part for part in parts if part.end > part.begin),
            )
        )
    return lanes(found, ("failed attempts", "failed, recovered by a retry"), axis=("0", f"{100 * top:g} %"))


def by_time(report: Report) -> str:
    """Return the response times of each target beside its read timeout, on a logarithmic scale; "" where none is known."""
    rows = [(row, row.response) for row in report.targets[:_TARGETS] if row.response]
    if not rows:
        return ""
    every = [second for row, times in rows for second in (*_seconds(times), *_timeouts(row))]
    low, high = math.floor(_log(min(every))), max(math.ceil(_log(max(every))), math.floor(_log(min(every))) + 1)

    def at(second: float) -> float:
        return (_log(second) - low) / (high - low)

    found = []
    for row, times in rows:
        seconds = _seconds(times)
        limits = _timeouts(row)
        quantiles = ", ".join(f"{name.removesuffix('_s')} {second:g} s" for name, second in zip(_QUANTILES, seconds, strict=True))
        found.append(
            Lane(
                name=row.target,
                text=f"{row.target}: {quantiles}{''.join(f', read timeout {limit:g} s' for limit in limits)}",
                boxes=tuple(
                    Box(begin=at(begin), end=at(end), place=place)
                    for begin, end, place in zip(seconds, seconds[1:], (2, 1, 0), strict=False)
                ),
                ticks=tuple(map(at, limits)),
            )
        )
    names = ("p99 to the longest", "p95 to p99", "p50 to p95")
    axis = [f"{10.0**power:g} s" for power in range(low, high + 1)]
    return lanes(found, names, axis=axis, tick="read timeout")


def _log(second: float) -> float:
    return math.log10(max(second, _LEAST_S))


def _seconds(times: Times) -> tuple[float, ...]:
    return tuple(getattr(times, name) for name in _QUANTILES)


def _timeouts(row: TargetRow) -> tuple[float, ...]:
    """Return the read timeouts that lead to a target: the shortest, and the longest if they differ."""
    return tuple(dict.fromkeys(limit for limit in (row.read_timeout_s, row.longest_read_timeout_s) if limit))
