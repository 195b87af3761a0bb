"""When a limit will be reached: from its samples alone, without a clock. Pure.

The slope is that of Theil and Sen (the median of the slopes between all pairs of samples), since the last drop: a restart, a
rotation, a collection of garbage. A ramp that ended in a drop before is a tooth of a saw: the next one is an alarm only above
the peaks so far, or if peaks and floors rise together. A ramp that nobody saw the like of is an alarm when less time is left
than a quarter of what was seen of it, so that a first tooth that drops in time alarms nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

import msgspec

from why502.watch.model import Limit, LimitKind, Severity

HORIZONS_S = {Severity.PAGE: 3600.0, Severity.TICKET: 86400.0}
LEAST_RATIO = 0.6
AGREED_S = 900.0  # for this long every sample must say so
SEEN_PARTS = 4  # of a ramp that is alone of its kind, how many times the time left must have been seen
FULL = 0.97  # a peak from here on was an exhaustion, not a tooth
ABOVE = 0.1  # of what is left above the highest tooth: from there on a ramp is on new ground
LEAST_DROP, DROP_SHARE = 0.05, 0.3  # of the limit, and of the height of the ramp
RISEN = 0.05  # of the height of a ramp: where it begins
POINTS, FITTED, TEETH, LEAST_TEETH = 480, 60, 48, 4
MEMORY_S = 8 * 86400.0  # a tooth is remembered for a week and a day
BACK_S = 60.0  # a clock that is set back by more begins everything again
CERTIFICATE = {Severity.PAGE: timedelta(days=2), Severity.TICKET: timedelta(days=14)}
QUEUE_RATIO, QUEUE_SAMPLES = 0.5, 3  # a queue fills and empties within seconds: no slope, but samples in a row
# What follows the load has no slope to tell it: nearly full in samples in a row, a minute of the usual ones.
NEARLY_FULL, FULL_SAMPLES = 0.95, 6
SATURATED = {
    LimitKind.CONNTRACK: Severity.PAGE,
    LimitKind.PORTS: Severity.PAGE,
    LimitKind.WORKER_CONNECTIONS: Severity.PAGE,
    LimitKind.DESCRIPTORS: Severity.PAGE,
    LimitKind.FPM_CHILDREN: Severity.TICKET,  # requests wait then, and the queue tells when too many do
}
SAME_START = timedelta(seconds=5)  # the kernel counts from the boot, whose time is known to about a second

Point = tuple[float, float]  # seconds since the epoch, ratio
_Way = Callable[["_Series", float], "_Found | None"]


@dataclass(frozen=True, slots=True)
class Tooth:
    """One ramp that ended in a drop: when, and its lowest and highest ratio."""

    at_s: float
    floor: float
    peak: float


@dataclass(frozen=True, slots=True)
class _Found:
    """After how many seconds a limit is reached, whether that is certain enough to tell, and why."""

    left_s: float
    is_certain: bool
    reason: str


@dataclass(slots=True)
class _Series:
    """What is known of one limit. `agreed`: since when each horizon is in sight, by the ramp and by the teeth; `low`: samples in
    a row below the drop.
    """

    since: datetime | None = None
    points: list[Point] = field(default_factory=list)
    teeth: list[Tooth] = field(default_factory=list)
    agreed: dict[tuple[_Way, Severity], float] = field(default_factory=dict)
    low: int = 0
    high: int = 0  # samples in a row above QUEUE_RATIO, or from NEARLY_FULL on


class Forecasts:
    """The forecasts of all limits, each by its samples in the order of time."""

    def __init__(self) -> None:
        self._series: dict[tuple[LimitKind, str], _Series] = {}

    def observe(self, limit: Limit) -> Limit:
        """Return a sample with its forecast: `exhausted_at`, `severity` and `reason` are set only if somebody should know."""
        if limit.kind is LimitKind.CERTIFICATE:
            return _of_certificate(limit)
        series = self._series.setdefault((limit.kind, limit.subject), _Series())
        if limit.kind is LimitKind.LISTEN_QUEUE:
            return _of_queue(series, limit)
        at_s = limit.at.timestamp()
        if series.points and at_s <= series.points[-1][0]:
            if series.points[-1][0] - at_s <= BACK_S:
                return limit
            series = self._series[limit.kind, limit.subject] = _Series()
        _add(series, (at_s, limit.ratio), limit.since)
        series.high = series.high + 1 if limit.ratio >= NEARLY_FULL else 0
        if limit.kind in SATURATED and series.high >= FULL_SAMPLES:
            reason = f"{NEARLY_FULL:.0%} or more used in {series.high} samples in a row"
            return msgspec.structs.replace(limit, severity=SATURATED[limit.kind], reason=reason)
        return _forecast(series, limit, at_s)

    def forget(self, before: datetime) -> None:
        """Forget limits without a sample since then: units and targets that are gone."""
        old_s = before.timestamp()
        gone = [key for key, series in self._series.items() if not series.points or series.points[-1][0] < old_s]
        for key in gone:
            del self._series[key]


def slope(points: Sequence[Point]) -> float:
    """Return the slope of Theil and Sen, ratio per second, of at most FITTED medians of the points; 0.0 for fewer than two."""
    fitted = _thinned(points)
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, later in enumerate(fitted)
        for earlier in fitted[:number]
        if later[0] > earlier[0]
    ]
    return median(slopes) if slopes else 0.0


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most FITTED points: medians of neighbours."""
    size = -(-len(points) // FITTED) or 1
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [(median(at_s for at_s, _ in group), median(ratio for _, ratio in group)) for group in groups]


def _add(series: _Series, point: Point, since: datetime | None) -> None:
    """Add a sample; after a drop, and for what was started again, a new ramp begins."""
    at_s, ratio = point
    if since is not None:
        if series.points and series.since is not None and abs(since - series.since) > SAME_START:
            _end_tooth(series, [])
        series.since = since
    series.points.append(point)
    peak, floor = max(ratio for _, ratio in series.points), min(ratio for _, ratio in series.points)
    has_dropped = ratio < peak - max(LEAST_DROP, DROP_SHARE * (peak - floor))
    series.low = series.low + 1 if has_dropped else 0
    if series.low >= 2:  # one low sample may be a slip
        _end_tooth(series, series.points[-2:])
    series.teeth = [tooth for tooth in series.teeth if tooth.at_s > at_s - MEMORY_S]
    if len(series.points) > POINTS:
        series.points = series.points[:-2:2] + series.points[-2:]


def _end_tooth(series: _Series, kept: list[Point]) -> None:
    ratios = [ratio for _, ratio in series.points[: len(series.points) - len(kept)]]
    if ratios:
        series.teeth.append(Tooth(series.points[-1][0], min(ratios), max(ratios)))
    if len(series.teeth) > TEETH:
        pairs = zip(series.teeth[::2], series.teeth[1::2], strict=False)
        series.teeth = [Tooth(b.at_s, min(a.floor, b.floor), max(a.peak, b.peak)) for a, b in pairs]
    series.points, series.low = kept, 0
    series.agreed = {key: since_s for key, since_s in series.agreed.items() if key[0] is not _of_ramp}


def _forecast(series: _Series, limit: Limit, at_s: float) -> Limit:
    """Return the sample with the first forecast that every sample of the last AGREED_S agrees with."""
    found_by_severity: list[tuple[Severity, _Found]] = []
    for way in (_of_ramp, _of_teeth):
        found = way(series, at_s)
        for severity, horizon_s in HORIZONS_S.items():
            if found is None or found.left_s >= horizon_s:
                series.agreed.pop((way, severity), None)
            elif at_s - series.agreed.setdefault((way, severity), at_s) >= AGREED_S and found.is_certain:
                found_by_severity.append((severity, found))
    if not found_by_severity:
        return limit
    severity, found = min(found_by_severity, key=lambda one: (list(HORIZONS_S).index(one[0]), one[1].left_s))
    ends_at = limit.at + timedelta(seconds=found.left_s)
    return msgspec.structs.replace(limit, exhausted_at=ends_at, severity=severity, reason=found.reason)


def _of_ramp(series: _Series, at_s: float) -> _Found | None:
    """Return when the present ramp reaches the limit; None if it does not rise or is still low."""
    if series.points[-1][1] < LEAST_RATIO:
        return None
    begin_s, ramp = _ramp(series.points)
    if len(ramp) < 4:
        return None
    rate = min(slope(ramp), slope(ramp[len(ramp) // 2 :]))
    if rate <= 0:
        return None
    left_s, seen_s = max(0.0, (1 - ramp[-1][1]) / rate), at_s - begin_s
    reason = f"it rose by {rate * 3600:.1%} of the limit an hour for {_words(seen_s)}"
    peaks = [tooth.peak for tooth in series.teeth]
    if any(peak >= FULL for peak in peaks):
        return _Found(left_s, True, f"{reason}, and was exhausted before")
    if peaks:
        highest = max(peaks)
        is_above = ramp[-1][1] > highest + ABOVE * (1 - highest)
        return _Found(left_s, is_above, f"{reason}, above its highest level so far ({highest:.0%})")
    return _Found(left_s, left_s <= seen_s / SEEN_PARTS, reason)


def _ramp(points: Sequence[Point]) -> tuple[float, Sequence[Point]]:
    """Return when the present rise began, and its points: what follows the last sample near the lowest one."""
    floor = min(ratio for _, ratio in points)
    height = points[-1][1] - floor
    start = max(number for number, (_, ratio) in enumerate(points) if ratio <= floor + RISEN * height)
    return points[start][0], points[start:]


def _of_teeth(series: _Series, at_s: float) -> _Found | None:
    """Return the same for teeth whose peaks and floors rise together: a leak between collections of garbage."""
    teeth = [tooth for tooth in series.teeth if tooth.peak < FULL]
    if len(teeth) < LEAST_TEETH or teeth[-1].peak < LEAST_RATIO:
        return None
    rate = min(slope([(tooth.at_s, tooth.peak) for tooth in teeth]), slope([(tooth.at_s, tooth.floor) for tooth in teeth]))
    if rate <= 0:
        return None
    seen_s = at_s - teeth[0].at_s
    left_s = max(0.0, (1 - teeth[-1].peak) / rate - (at_s - teeth[-1].at_s))
    return _Found(left_s, left_s <= seen_s / SEEN_PARTS, f"its peaks and floors rose together for {_words(seen_s)}")


def _of_queue(series: _Series, limit: Limit) -> Limit:
    """Return a queue's sample: an alarm when it was more than half full in samples in a row."""
    series.high = series.high + 1 if limit.ratio > QUEUE_RATIO else 0
    series.points = [(limit.at.timestamp(), limit.ratio)]
    if series.high < QUEUE_SAMPLES:
        return limit
    reason = f"more than {QUEUE_RATIO:.0%} full in {series.high} samples in a row"
    return msgspec.structs.replace(limit, severity=Severity.PAGE, reason=reason)


def _of_certificate(limit: Limit) -> Limit:
    """Return a certificate's sample: its end is known."""
    for severity, before in CERTIFICATE.items():
        if limit.exhausted_at is not None and limit.exhausted_at - limit.at < before:
            return msgspec.structs.replace(limit, severity=severity, reason="its validity ends then")
    return limit


def _words(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
