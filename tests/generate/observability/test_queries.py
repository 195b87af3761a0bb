"""Every query of every rule and panel, on a real Prometheus that holds the exposition of a day with every fault at its end."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from free_ports import free_port
from metric_views import bad_night
from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from why502.generate.observability.dashboards import all_dashboards, dashboards
from why502.generate.observability.rules import rules
from why502.watch.metrics.collector import Collector, exposition
from why502.watch.metrics.families import FAMILIES, OVERFLOW, TRAFFIC, Kind
from why502.watch.metrics.server import Server

END = datetime.now(UTC).replace(second=0, microsecond=0)
BEGAN = END - timedelta(hours=27)
ON = {"instance": "web1:9502", "job": "why502"}
NAME = re.compile(r"\b(?:why502|process)_[a-z0-9_]+\b")
RECORDED = re.compile(r"why502:[a-z0-9_:]+")
RULES = [rule for group in yaml.safe_load(rules(99.9))["groups"] for rule in group["rules"]]
ALERTS = [(f"{number}-{rule['alert']}", rule["expr"]) for number, rule in enumerate(RULES) if "alert" in rule]
RECORDINGS = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
PANELS = [
    (f"{dashboard.name}: {panel.title} {number}", query.expression)
    for dashboard in all_dashboards(99.9)
    for panel in dashboard.panels
    for number, query in enumerate(panel.queries)
]
MARKS = [(f"{dashboard.name}: {name}", query) for dashboard in all_dashboards(99.9) for name, query in dashboard.marks]
VARIABLES = [
    (f"{dashboard.name}: {variable.name}", variable.query)
    for dashboard in all_dashboards(99.9)
    for variable in dashboard.variables
]


def plain(query: str) -> str:
    """Return a panel's query as Grafana sends it for all instances."""
    return re.sub(r"\$(instance|proxy|target)", ".*", query.replace("$__rate_interval", "5m"))


def expanded(query: str) -> str:
    """Return a query in which recording rules stand for what they record."""
    while RECORDED.search(query):
        query = re.sub(
            rf"({RECORDED.pattern}) offset (\w+)",
            lambda match: f"last_over_time(({RECORDINGS[match[1]]})[1m:1m] offset {match[2]})",
            query,
        )
        query = RECORDED.sub(lambda match: f"({RECORDINGS[match[0]]})", query)
    return query


def test_every_metric_in_them_is_exposed() -> None:
    known = {family.full_name for family in (*TRAFFIC, *FAMILIES, OVERFLOW)}
    known |= {
        f"{family.full_name}_{part}"
        for family in (*TRAFFIC, *FAMILIES)
        for part in ("bucket", "sum", "count")
        if family.kind in (Kind.HISTOGRAM, Kind.SUMMARY)
    }
    known |= {sample.name for family in ProcessCollector(registry=None).collect() for sample in family.samples}
    annotations = [text for rule in RULES for text in rule.get("annotations", {}).values()]
    queries = [query for _, query in (*ALERTS, *PANELS, *MARKS, *VARIABLES)] + list(RECORDINGS.values())
    assert {name for text in (*queries, *annotations) for name in NAME.findall(text)} - known == set()
    assert {name for text in (*queries, *annotations) for name in RECORDED.findall(text)} <= RECORDINGS.keys()


def test_a_dashboard_is_what_grafana_reads() -> None:
    for name, text in dashboards(99.9).items():
        found = json.loads(text)
        assert (found["uid"], found["schemaVersion"] >= 36) == (f"why502-{name}", True)
        ids = [panel["id"] for panel in found["panels"]]
        assert len(set(ids)) == len(ids)
        variables = {variable["name"] for variable in found["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]+)", text)) - {"__rate_interval", "__all"}
        assert used <= variables
        places = [tuple(panel["gridPos"].values()) for panel in found["panels"]]
        cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
        assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 23
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in json.loads(dashboards(99.9)["now"])["panels"]) <= 20


def times() -> Iterator[datetime]:
    """Yield the times of the day's samples: every 5 minutes, at its end every minute."""
    at = BEGAN
    while at <= END:
        yield at
        at += timedelta(minutes=5 if at < END - timedelta(hours=2) else 1)


def history() -> str:
    """Return the day as OpenMetrics with times, as Prometheus would have scraped it."""
    at = BEGAN
    collector = Collector(lambda: bad_night(at, END), lambda: at.timestamp())  # noqa: PLW0108 - of now, not of the beginning
    process = ProcessCollector(registry=None)
    lines: dict[tuple[str, str], list[str]] = {}
    up = GaugeMetricFamily("up", "Whether a scrape succeeded.", value=1)
    for at in times():
        for family in (*collector.collect(), *process.collect(), up):
            lines.setdefault((family.name, family.type), []).extend(_lines(family, at))
    return "".join(f"# TYPE {name} {kind}\n{''.join(found)}" for (name, kind), found in lines.items()) + "# EOF\n"


def _lines(family: Metric, at: datetime) -> Iterator[str]:
    for sample in family.samples:
        labels = ",".join(f"{name}={json.dumps(value)}" for name, value in (sample.labels | ON).items())
        yield f"{sample.name}{{{labels}}} {floatToGoString(sample.value)} {at.timestamp():.0f}\n"


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **values: object) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(values)}", timeout=20) as answer:
            return json.load(answer)["data"]

    def query(self, query: str, at: datetime = END) -> list[Any]:
        found: list[Any] = self.get("query", query=query, time=at.timestamp())["result"]
        return found

    def wait(self, condition: Callable[[], object]) -> None:
        for _ in range(600):
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("Prometheus did not get there")


@contextmanager
def prometheus(directory: Path, config: str) -> Iterator[Prometheus]:
    """Yield a Prometheus on a free port of the loopback address."""
    port = free_port()
    (directory / "prometheus.yml").write_text(config)
    arguments = [
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=error",
    ]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log, cwd=directory) as process,
    ):
        found = Prometheus(f"http://127.0.0.1:{port}")
        try:
            found.wait(lambda: process.poll() is not None or found.get("status/buildinfo"))
            assert process.poll() is None, (directory / "log").read_text()
            yield found
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "history.txt").write_text(history())
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    with prometheus(directory, "global: {}\n") as found:
        yield found


@pytest.mark.real
@pytest.mark.parametrize(("name", "query"), ALERTS, ids=[name for name, _ in ALERTS])
def test_an_alert_sees_its_fault(night: Prometheus, name: str, query: str) -> None:
    at = BEGAN - timedelta(hours=1) if name.endswith("WatchGone") else END
    assert night.query(expanded(query), at)


@pytest.mark.real
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_rule_has_values(night: Prometheus, name: str) -> None:
    assert night.query(expanded(name))


@pytest.mark.real
@pytest.mark.parametrize(("name", "query"), ALERTS, ids=[name for name, _ in ALERTS])
def test_no_alert_but_the_watchdog_fires_in_the_morning(night: Prometheus, name: str, query: str) -> None:
    """The limits and certificates end as forecast all day, and one unused target is down."""
    expected = ("Watchdog", "LimitSoon", "ListenQueue", "CertificateEnds", "TargetDown", "NearTimeout")
    assert name.endswith(expected) or night.query(expanded(query), BEGAN + timedelta(hours=12)) == []


@pytest.mark.real
@pytest.mark.parametrize(("name", "query"), [*PANELS, *MARKS], ids=[name for name, _ in [*PANELS, *MARKS]])
def test_a_panel_shows_something(night: Prometheus, name: str, query: str) -> None:
    assert night.query(plain(query))


@pytest.mark.real
@pytest.mark.parametrize(("name", "query"), VARIABLES, ids=[name for name, _ in VARIABLES])
def test_a_variable_has_values(night: Prometheus, name: str, query: str) -> None:
    match = re.fullmatch(r"label_values\((.*), (\w+)\)", plain(query))
    assert match and night.get(f"label/{match[2]}/values", **{"match[]": match[1]})


@pytest.mark.real
def test_prometheus_scrapes_us_and_evaluates_every_rule(tmp_path: Path) -> None:
    """As installed: the HTTP server, the rules as they are generated, the exemplars, and a target that goes away."""
    now = datetime.now(UTC)
    collector = Collector(lambda: bad_night(now, now))
    server = Server(("127.0.0.1", 0), lambda is_openmetrics: exposition(collector, is_openmetrics=is_openmetrics), tuple)
    server.start()
    (tmp_path / "why502.rules.yml").write_text(rules(99.9))
    target = f"127.0.0.1:{server.server_address[1]}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["why502.rules.yml"],
        "scrape_configs": [{"job_name": "why502", "static_configs": [{"targets": [target]}]}],
    }
    with prometheus(tmp_path, json.dumps(config)) as found:
        found.wait(lambda: [alert for alert in found.get("alerts")["alerts"] if alert["labels"]["alertname"] == "Why502Incident"])
        states = [rule["health"] for group in found.get("rules")["groups"] for rule in group["rules"]]
        assert len(states) == len(RULES) and set(states) == {"ok"}
        words = [text for alert in found.get("alerts")["alerts"] for text in alert["annotations"].values()]
        assert words and not [text for text in words if "error expanding" in text]
        names = {each["metric"] for each in found.get("targets/metadata", match_target='{job="why502"}')}
        assert {"why502_requests", "why502_response_duration_seconds"} <= names
        found.wait(
            lambda: found.get("query_exemplars", query="why502_failures_total", start=now.timestamp() - 600, end=time.time() + 60)
        )
        server.stop()
        found.wait(lambda: found.query("up == 0", datetime.now(UTC)))
