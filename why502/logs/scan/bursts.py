"""Finds the minutes with far more failures than usual, and the differences in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from why502.logs.chance import burst_limit
from why502.logs.scan.minutes import Minutes
from why502.logs.scan.report import Burst

GAP = 2  # quiet minutes allowed within a burst
MOST = 20
_SHARE = 0.3  # share of the burst's failures that a value needs in order to be named
_TIMES = 1.8  # and the factor by which it must exceed its share outside
_CALM = 0.15  # share of the minutes that must be calm, so that an ongoing failure can be separated from the usual level
_LONG = 2  # minutes


class Facets(NamedTuple):
    """Requests and failures by minute, and by properties that the failures may share: name of the facet -> value -> minutes."""

    requests: Mapping[int, int]
    failures: Mapping[int, int]
    by: Mapping[str, Mapping[str, Minutes]]


class _Shares(NamedTuple):
    """The failures by the value of a facet, in each burst and outside of all bursts."""

    inside: dict[int, Counter[str]]
    outside: Counter[str]


def find(facets: Facets) -> tuple[Burst, ...]:
    """Return the bursts in time order; if there are many, the largest. A log that fails evenly has none."""
    failures = {minute: count for minute, count in facets.failures.items() if count}
    if not failures:
        return ()
    known = set(facets.requests) | set(failures)
    span = max(known) - min(known) + 1
    usual = _usual(failures, span, 0.5)
    found = _runs(failures, burst_limit(usual or _mean(failures, span), span))
    if not found:  # it may last for most of the time range
        usual = _usual(failures, span, _CALM)
        found = [run for run in _runs(failures, burst_limit(usual, span)) if _stands_out(failures, span, run)]
    found.sort(key=lambda run: -sum(failures.get(minute, 0) for minute in range(run[0], run[1] + 1)))
    inside = {minute for first, last in found for minute in range(first, last + 1)}
    shares = {facet: _shares(values, found) for facet, values in facets.by.items()}
    others = [count for minute, count in facets.requests.items() if minute not in inside]
    usually = _median(others) if found and len(others) > _LONG else 0.0
    return tuple(
        _burst(facets, range(first, last + 1), usual, _changed(facets, range(first, last + 1), shares, usually))
        for first, last in sorted(found[:MOST])
    )


def _median(numbers: Sequence[int]) -> float:
    from statistics import median  # imported where there is a burst: it loads a lot

    return median(numbers)


def _usual(failures: Mapping[int, int], span: int, share: float) -> float:
    """Return the number of failures that this share of the minutes stays below, including minutes without any."""
    counts = sorted(failures.values())
    zeros = span - len(counts)
    at = int((span - 1) * share)
    return 0.0 if at < zeros else float(counts[at - zeros])


def _mean(failures: Mapping[int, int], span: int) -> float:
    """Return the mean of the nine tenths of the minutes with the fewest failures: the usual level if most minutes have none."""
    most = int(span * 0.9)
    return sum(sorted(failures.values())[: max(most - (span - len(failures)), 0)]) / max(most, 1)


def _runs(failures: Mapping[int, int], limit: float) -> list[tuple[int, int]]:
    """Return the first and the last minute of each period above the limit."""
    runs: list[tuple[int, int]] = []
    for minute in sorted(minute for minute, count in failures.items() if count >= limit):
        if runs and minute - runs[-1][1] <= GAP + 1:
            runs[-1] = runs[-1][0], minute
        else:
            runs.append((minute, minute))
    return runs


def _stands_out(failures: Mapping[int, int], span: int, run: tuple[int, int]) -> bool:
    """Return whether a period differs from the rest as a whole, beyond chance.

    Single minutes vary when the usual level is low.
    """
    length = run[1] - run[0] + 1
    count = sum(failures.get(minute, 0) for minute in range(run[0], run[1] + 1))
    rest = span - length
    return length >= _LONG and rest >= _LONG and count / length >= 3 * (sum(failures.values()) - count) / rest


def _shares(values: Mapping[str, Minutes], runs: Iterable[tuple[int, int]]) -> _Shares:
    found = _Shares({first: Counter() for first, _ in runs}, Counter())
    for value, minutes in values.items():
        outside = minutes.total()
        for first, last in runs:
            if count := minutes.between(first, last):
                found.inside[first][value] = count
                outside -= count
        if outside:
            found.outside[value] = outside
    return found


def _burst(facets: Facets, minutes: range, usual: float, changed: list[str]) -> Burst:
    peak_at = max(minutes, key=lambda minute: (facets.failures.get(minute, 0), -minute))
    return Burst(
        start=_moment(minutes.start),
        end=_moment(minutes.stop),
        peak_at=_moment(peak_at),
        peak=facets.failures.get(peak_at, 0),
        failures=sum(facets.failures.get(minute, 0) for minute in minutes),
        requests=sum(facets.requests.get(minute, 0) for minute in minutes),
        usual=usual,
        changed=tuple(changed),
    )


def _changed(facets: Facets, minutes: range, shares: Mapping[str, _Shares], usually: float) -> list[str]:
    """Return the properties shared by the burst's failures but not by the others, the most distinctive first.

    `usually`: requests per minute.
    """
    messages: list[tuple[float, str]] = []
    for facet, (inside, there) in shares.items():
        here = inside[minutes.start]
        if not here or len(here.keys() | there.keys()) < 2:
            continue
        value, count = max(here.items(), key=lambda item: (item[1], item[0]))
        share = count / here.total()
        before = there[value] / there.total() if there else 0.0
        if share >= _SHARE and share >= _TIMES * before:
            others = f", {before:.0%} of the others" if there else ""
            messages.append((share - before, f"{facet} {value}: {share:.0%} of these failures{others}"))
    rate = _rate(facets.requests, minutes)
    if usually and rate >= 1.5 * usually:
        messages.append((1.0, f"requests: {rate:.0f} per minute instead of {usually:.0f}"))
    elif usually and rate <= 0.5 * usually:
        messages.append((0.5, f"requests: only {rate:.0f} per minute instead of {usually:.0f}"))
    return [message for _, message in sorted(messages, reverse=True)[:5]]


def _rate(requests: Mapping[int, int], minutes: range) -> float:
    return sum(requests.get(minute, 0) for minute in minutes) / len(minutes)


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(60 * minute, UTC)
