"""Collector: a MetricsView as the metric families of prometheus-client."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from threading import Lock

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector as AnyCollector
from prometheus_client.registry import CollectorRegistry
from prometheus_client.utils import floatToGoString

from why502.model.patterns import lazy
from why502.redaction.known import known
from why502.render.words import safe
from why502.watch.metrics.families import ATTEMPTS, DURATIONS, FAILURES, FAMILIES, OVERFLOW, RECOVERED, REQUESTS, Family, Kind
from why502.watch.metrics.series import Counters, Labels, Room, Values
from why502.watch.metrics.view import MetricsView
from why502.watch.model import FailureKey, TargetKey

SERIES = 2000  # of one host, at most
LONGEST = 200  # characters of a label
MOST_TARGETS = 30  # with a histogram each; above, the histograms are of groups
FIRST_CODES = ("2xx", "499", "502", "503", "504", "5xx")  # of every location, from 0: increase() never sees the first count
FIRST_OUTCOMES = ("ok", "connect-refused", "connect-timed-out", "read-timed-out", "closed-before-header", "reset-before-header")
_REQUEST_ID = lazy(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_MOST_DROPPED = 10_000


class Collector(AnyCollector):
    """The metrics of a view, for prometheus-client and for OpenTelemetry.

    `view` is called for each collection, in the thread that collects. `clock`: a monotonic time in seconds.
    """

    def __init__(self, view: Callable[[], MetricsView], clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._clock = clock
        self._lock = Lock()
        self._room = Room(SERIES - sum(family.most for family in FAMILIES))
        self._counters: dict[str, Counters] = {}
        self._dropped: set[tuple[str, Labels]] = set()

    def collect(self) -> Iterable[Metric]:
        """Return all families, with their current values."""
        with self._lock:  # also around the view: an older one must not come second
            view = self._view()
            return [*self._traffic(view), *(self._family(family, view) for family in FAMILIES), self._overflow()]

    def _family(self, family: Family, view: MetricsView) -> Metric:
        if family.kind is Kind.SUMMARY:
            (_, count), (_, total) = family.rows(view)
            return SummaryMetricFamily(family.name, family.help, count_value=int(count), sum_value=total)
        found = _family(family)
        for labels, value in self._limited(family, family.rows(view)).items():
            _add(found, labels, value)
        return found

    def _overflow(self) -> Metric:
        return CounterMetricFamily(OVERFLOW.name, OVERFLOW.help, value=self._room.overflow)

    def _traffic(self, view: MetricsView) -> Iterator[Metric]:
        configured = _Configured(view)
        for traffic, totals, zeros in (
            (
                REQUESTS,
                _single(view.requests.items()),
                configured.locations_by(FIRST_CODES),
            ),
            (
                ATTEMPTS,
                _single(view.attempts.items()),
                configured.targets_by(FIRST_OUTCOMES),
            ),
            (RECOVERED, _single(view.recovered.items()), configured.targets),
            (FAILURES, _single((_of_client(key), count) for key, count in view.failures.items()), set[Labels]()),
        ):
            found = CounterMetricFamily(traffic.name, traffic.help, labels=traffic.labels)
            exemplars = _exemplars(view) if traffic is FAILURES else {}
            for labels, (count,) in self._series(traffic, totals, configured, zeros).items():
                found.add_metric(labels, count, exemplar=exemplars.get(labels))
            yield found
        yield self._durations(view, configured)

    def _series(
        self,
        traffic: Family,
        totals: Mapping[Labels, Values],
        configured: _Configured,
        zeros: Collection[Labels],
        width: int = 1,
    ) -> dict[Labels, Values]:
        if traffic.name not in self._counters:
            cost = 1 if width == 1 else width + 1  # of a histogram: each bucket, the sum and the count
            self._counters[traffic.name] = Counters(self._room, most=traffic.most, cost=cost, width=width)
        is_known = configured.has_location if "location" in traffic.labels else configured.has_target
        series = self._counters[traffic.name].update(totals, is_known, zeros, self._clock())
        return dict(sorted(series.items()))

    def _durations(self, view: MetricsView, configured: _Configured) -> Metric:
        found = HistogramMetricFamily(DURATIONS.name, DURATIONS.help, labels=DURATIONS.labels)
        width = len(view.bounds_s) + 2
        bounds = [*map(floatToGoString, view.bounds_s), "+Inf"]
        totals: dict[Labels, Values] = {}
        for key, histogram in view.durations.items():
            labels = cleaned(configured.grouped(key))
            values = (*map(float, histogram.counts), histogram.sum_s)
            totals[labels] = tuple(map(sum, zip(totals[labels], values, strict=True))) if labels in totals else values
        for labels, values in self._series(DURATIONS, totals, configured, (), width).items():
            found.add_metric(labels, list(zip(bounds, accumulate(values[:-1]), strict=True)), values[-1])
        return found

    def _limited(self, family: Family, rows: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
        """Return the first rows that there is room for, with clean labels; labels that are alike afterwards are one row."""
        found: dict[Labels, float] = {}
        for labels, value in rows:
            key = cleaned(labels)
            if key in found:
                found[key] = found[key] + value if family.kind is Kind.COUNTER else max(found[key], value)
            elif len(found) < family.most:
                found[key] = value
            elif len(self._dropped) < _MOST_DROPPED and (family.name, key) not in self._dropped:
                self._dropped.add((family.name, key))
                self._room.overflow += 1
        return found


class _Configured:
    """What the configuration knows: locations and targets, as labels. Without a configuration everything is known."""

    def __init__(self, view: MetricsView) -> None:
        routes = view.routes or ()
        self._is_unknown = view.routes is None
        self.locations = {cleaned((route.proxy, route.location)) for route in routes}
        self.targets = {cleaned((route.proxy, target)) for route in routes for target in route.targets}
        self.targets |= {cleaned((member.proxy, str(member.peer))) for member in view.members}
        self._groups = {(member.proxy, str(member.peer)): member.group for member in view.members if member.group}
        if len(self.targets) <= MOST_TARGETS:
            self._groups = {}
        self.targets |= {cleaned((proxy, group)) for (proxy, _), group in self._groups.items()}

    def has_location(self, labels: Labels) -> bool:
        return self._is_unknown or labels[:2] in self.locations

    def has_target(self, labels: Labels) -> bool:
        return self._is_unknown or labels[:2] in self.targets

    def locations_by(self, codes: Iterable[str]) -> set[Labels]:
        return {(*location, code) for location in self.locations for code in codes}

    def targets_by(self, outcomes: Iterable[str]) -> set[Labels]:
        return {(*target, outcome) for target in self.targets for outcome in outcomes}

    def grouped(self, key: TargetKey) -> Labels:
        """Return the labels of a target, or of its group if there are too many targets."""
        return (key.proxy, self._groups.get((key.proxy, key.target), key.target))


def exposition(collector: Collector, *others: AnyCollector, is_openmetrics: bool = False) -> bytes:
    """Return the metrics in Prometheus's text format (0.0.4) or as OpenMetrics 1.0, which also has exemplars."""
    registry = CollectorRegistry(auto_describe=False)
    for each in (collector, *others):
        registry.register(each)
    if is_openmetrics:
        return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def cleaned(labels: Iterable[str]) -> Labels:
    """Return labels that can be shown anywhere: without secrets, control characters, and bytes that are not UTF-8."""
    secrets = known()
    return tuple(_cleaned(label, secrets) for label in labels)


@lru_cache(maxsize=8192)
def _cleaned(label: str, secrets: tuple[str, ...]) -> str:  # noqa: ARG001 - what is masked depends on them
    text = safe(label[: 10 * LONGEST])
    if len(text) <= LONGEST and len(label) <= 10 * LONGEST:
        return text
    return f"{text[: LONGEST - 9]}…{sha256(label.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _of_client(key: FailureKey) -> Labels:
    return (key.proxy, key.location, key.symptom)


def _single(counts: Iterable[tuple[Labels, int]]) -> dict[Labels, Values]:
    """Return the counts by clean labels; those that are alike then are added."""
    found: Counter[Labels] = Counter()
    for labels, count in counts:
        found[cleaned(labels)] += count
    return {labels: (float(count),) for labels, count in found.items()}


def _exemplars(view: MetricsView) -> dict[Labels, Exemplar]:
    """Return for each series of failures a request to look up. An id that may not be one is left out: it is the client's text."""
    return {
        cleaned(_of_client(key)): Exemplar({"request_id": failed.request_id}, 1.0, failed.at.timestamp())
        for key, failed in view.failed_requests.items()
        if _REQUEST_ID.fullmatch(failed.request_id) and safe(failed.request_id) == failed.request_id
    }


def _family(family: Family) -> GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily:
    if family.kind is Kind.COUNTER:
        return CounterMetricFamily(family.name, family.help, labels=family.labels)
    if family.kind is Kind.INFO:
        return InfoMetricFamily(family.name, family.help, labels=family.labels)
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)


def _add(family: GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily, labels: Labels, value: float) -> None:
    if isinstance(family, InfoMetricFamily):
        family.add_metric(labels, {})
    else:
        family.add_metric(labels, value)
