"""The metrics for an OpenTelemetry receiver (OTLP over HTTP), with the exporter of the SDK: the extra `otlp`.

The SDK has no observable histogram, so its exporter gets the values of the collector as they are, not through instruments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from why502.model.errors import Why502Error
from why502.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData, NumberDataPoint

TIMEOUT_S = 5.0  # of one request; the exporter repeats a failed one within this time


class Otlp:
    """Sends families to `url`. `host` names the sender. Raises Why502Error if the extra is not installed."""

    def __init__(self, url: str, host: str) -> None:
        if find_spec("opentelemetry") is None:
            raise Why502Error("metrics.otlp: the exporter is not installed", "Install it: pip install 'why502[otlp]'")
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self._host = host
        self._exporter = OTLPMetricExporter(endpoint=url, timeout=TIMEOUT_S)

    def send(self, families: Iterable[Family], began_at: datetime, at: datetime) -> bool:
        """Send the values of families that count since `began_at`; return whether they were accepted."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        found = _data(families, self._host, _nanoseconds(began_at), _nanoseconds(at))
        return self._exporter.export(found, timeout_millis=TIMEOUT_S * 1000) is MetricExportResult.SUCCESS

    def close(self) -> None:
        """End connections, and a request that is being repeated."""
        self._exporter.shutdown()


def _data(families: Iterable[Family], host: str, began: int, at: int) -> MetricsData:
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    resource = Resource(
        {"service.name": "why502", "service.instance.id": host, "host.name": host, "service.version": __version__}
    )
    metrics = [metric for family in families for metric in _metrics(family, began, at)]
    scope = ScopeMetrics(scope=InstrumentationScope("why502", __version__), metrics=metrics, schema_url="")
    return MetricsData(resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metrics(family: Family, began: int, at: int) -> Iterator[Metric]:
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Metric, Sum

    cumulative = AggregationTemporality.CUMULATIVE
    if family.type == "histogram":
        histograms = Histogram(data_points=list(_histograms(family, began, at)), aggregation_temporality=cumulative)
        yield Metric(name=family.name, description=family.documentation, unit="", data=histograms)
        return
    for name in dict.fromkeys(sample.name for sample in family.samples):
        points = [_point(sample, began, at) for sample in family.samples if sample.name == name]
        if family.type in ("counter", "summary"):
            data: Sum | Gauge = Sum(data_points=points, aggregation_temporality=cumulative, is_monotonic=True)
        else:
            data = Gauge(data_points=points)
        yield Metric(name=name.removesuffix("_total"), description=family.documentation, unit="", data=data)


def _point(sample: Sample, began: int, at: int) -> NumberDataPoint:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return NumberDataPoint(attributes=sample.labels, start_time_unix_nano=began, time_unix_nano=at, value=float(sample.value))


def _histograms(family: Family, began: int, at: int) -> Iterator[HistogramDataPoint]:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    found: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        found.setdefault(labels, {})[sample.labels.get("le", sample.name.removeprefix(family.name))] = sample.value
    for labels, values in found.items():
        total, count = values.pop("_sum"), values.pop("_count")
        buckets = sorted((float(bound), value) for bound, value in values.items())
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=began,
            time_unix_nano=at,
            count=int(count),
            sum=total,
            bucket_counts=[int(buckets[0][1]), *(int(later - earlier) for (_, earlier), (_, later) in pairwise(buckets))],
            explicit_bounds=[bound for bound, _ in buckets[:-1]],
            min=None,  # type: ignore[arg-type]  # not known, and optional in the protocol
            max=None,  # type: ignore[arg-type]
        )


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
