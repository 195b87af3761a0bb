"""The exposition: every metric, hostile labels, and never too many series."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from metric_views import BOUNDS_S, NOW, Times, empty, incident, member
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from why502.watch.metrics.collector import SERIES, Collector, exposition
from why502.watch.metrics.families import FAMILIES, OVERFLOW, TRAFFIC
from why502.watch.metrics.view import EndedIncidents, FailedRequest, LogKind, LogTotal, MetricsView, Route
from why502.watch.model import AttemptKey, FailureKey, MemberStatus, RequestKey, Severity, TargetKey

SHOP = Route(proxy="nginx", location="shop.example/", targets=("127.0.0.1:3000",), timeouts_s={"read": 60.0})
GET = RequestKey("nginx", "shop.example/", "2xx")


class Shown:
    """A collector whose view and clock a test sets."""

    def __init__(self, view: MetricsView) -> None:
        self.view = view
        self.now_s = 0.0
        self.collector = Collector(lambda: self.view, lambda: self.now_s)

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of that name by the values of their labels, in the order of the labels' names."""
        return {
            tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
            for family in self.collector.collect()
            for sample in family.samples
            if sample.name == name
        }

    def series(self) -> int:
        return sum(len(family.samples) for family in self.collector.collect())

    def text(self, is_openmetrics: bool = False) -> str:
        return exposition(self.collector, is_openmetrics=is_openmetrics).decode()


def test_known_locations_and_targets_begin_at_zero() -> None:
    """Prometheus's increase() never sees the first count of a new series (prometheus/prometheus#1673)."""
    shown = Shown(empty(routes=[SHOP], pending={"ops": 0}, logs=[LogTotal(log="/var/log/nginx/access.log", kind=LogKind.ACCESS)]))
    assert shown.values("why502_requests_total")["502", "shop.example/", "nginx"] == 0
    assert shown.values("why502_attempts_total")["connect-refused", "nginx", "127.0.0.1:3000"] == 0
    assert shown.values("why502_recovered_failures_total") == {("nginx", "127.0.0.1:3000"): 0}
    assert shown.values("why502_notifications_total") == {("failed", "ops"): 0, ("sent", "ops"): 0}
    assert shown.values("why502_log_lost_bytes_total") == {("access", "/var/log/nginx/access.log"): 0}


def test_a_histogram_is_cumulative() -> None:
    times = Times()
    times.add(0.004, 3)
    times.add(120.0)
    shown = Shown(empty(durations={TargetKey("nginx", "127.0.0.1:3000"): times}))
    buckets = shown.values("why502_response_duration_seconds_bucket")
    assert (buckets["0.005", "nginx", "127.0.0.1:3000"], buckets["60.0", "nginx", "127.0.0.1:3000"]) == (3, 3)
    assert buckets["+Inf", "nginx", "127.0.0.1:3000"] == 4
    assert shown.values("why502_response_duration_seconds_sum") == {("nginx", "127.0.0.1:3000"): 120.012}


def test_a_failure_is_counted_by_location_and_has_a_request_to_look_up() -> None:
    keys = [FailureKey("nginx", "shop.example/", f"10.0.0.{i}:80", "connect-refused") for i in range(3)]
    shown = Shown(empty(failures=dict.fromkeys(keys, 2), failed_requests={keys[0]: FailedRequest(request_id="9f3a7c21", at=NOW)}))
    assert shown.values("why502_failures_total") == {("shop.example/", "nginx", "connect-refused"): 6}
    families = {family.name: family for family in parse_openmetrics(shown.text(is_openmetrics=True))}
    (sample,) = families["why502_failures"].samples
    assert sample.exemplar is not None and sample.exemplar.labels == {"request_id": "9f3a7c21"}


@pytest.mark.parametrize("id_", ["", "a" * 200, 'x"} 1\nfake_metric 1', "<script>", "password=hunter22222", "\ud800"])
def test_an_id_of_a_client_that_may_be_anything_is_no_exemplar(id_: str) -> None:
    key = FailureKey("nginx", "shop.example/", "", "connect-refused")
    shown = Shown(empty(failures={key: 1}, failed_requests={key: FailedRequest(request_id=id_, at=NOW)}))
    (sample,) = {family.name: family for family in parse_openmetrics(shown.text(is_openmetrics=True))}["why502_failures"].samples
    assert sample.exemplar is None


def test_a_target_is_up_down_or_absent() -> None:
    members = [
        member("10.0.0.1:80"),
        member("10.0.0.2:80", status=MemberStatus.DOWN),
        member("10.0.0.3:80", status=MemberStatus.UNKNOWN),
    ]
    shown = Shown(empty(members=members))
    assert shown.values("why502_target_up") == {("app", "nginx", "10.0.0.1:80"): 1, ("app", "nginx", "10.0.0.2:80"): 0}
    assert len(shown.values("why502_target_info")) == 3


def test_an_incident_that_ended_is_zero() -> None:
    ended = incident(2, cause="", severity=Severity.TICKET, closed_at=NOW, target="")
    shown = Shown(empty(incidents=[incident(), incident(3, opened_at=NOW - timedelta(hours=1)), ended]))
    assert shown.values("why502_incidents_open") == {
        ("backend-not-running", "upstream", "page", "127.0.0.1:3001"): 2,
        ("unknown", "none", "ticket", ""): 0,
    }
    assert list(shown.values("why502_incident_opened_timestamp_seconds").values()) == [(NOW - timedelta(hours=1)).timestamp()]


def hostile(label: str) -> MetricsView:
    """Return a view with one text in every label that an administrator, a visitor or a backend may set."""
    return empty(
        host=label,
        requests={RequestKey(label, label, "2xx"): 1},
        failures={FailureKey(label, label, label, label): 1},
        attempts={AttemptKey(label, label, label): 1},
        recovered={TargetKey(label, label): 1},
        durations={TargetKey(label, label): Times()},
        routes=[Route(proxy=label, location=label, targets=(label,), timeouts_s={label: 1.0})],
        logs=[LogTotal(log=label, kind=LogKind.ACCESS)],
        pending={label: 1},
        ended_incidents=[EndedIncidents(cause=label, fault_domain=label, count=1, seconds=1.0)],
    )


HOSTILE = (
    'x"} 1\nwhy502_fake_total 1\n',
    "\\",
    '\\"\n',
    "\r\nSet-Cookie: a=b",
    "\x1b[31m\u202e\u2028\x00\x7f\x9b",
    "\ud800\udcff",
    "{{ template }}",
    "<!channel><script>alert(1)</script>",
    "€" * 10_000,
    "",
)


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_hostile_text_stays_inside_its_label(label: str, is_openmetrics: bool) -> None:
    text = Shown(hostile(label)).text(is_openmetrics)
    names = {family.name for family in (parse_openmetrics if is_openmetrics else parse_text)(text)}
    assert names <= {family.name for family in (*TRAFFIC, *FAMILIES, OVERFLOW)} | {family.full_name for family in FAMILIES}
    assert not set(text) & set("\r\x1b\u202e\u2028\x00\x7f\x9b")
    assert max(map(len, text.splitlines())) < 1500


@pytest.mark.parametrize(
    "secret", ["https://u:hunter22@10.0.0.1/", "shop.example/?api_key=AKIAIOSFODNN7EXAMPLE", "/login?password=hunter22"]
)
def test_no_label_shows_a_secret(secret: str) -> None:
    text = Shown(hostile(secret)).text()
    assert "hunter22" not in text and "AKIAIOSFODNN7EXAMPLE" not in text


def test_labels_that_are_alike_when_clean_are_added() -> None:
    shown = Shown(empty(requests={RequestKey("nginx", "a\nb", "2xx"): 1, RequestKey("nginx", "a\tb", "2xx"): 2}))
    assert shown.values("why502_requests_total") == {("2xx", "a b", "nginx"): 3}


def flood(many: int) -> MetricsView:
    """Return a view with that many locations and targets, as an attacker could make them."""
    names = [f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}:80" for i in range(many)]
    return empty(
        requests={RequestKey("nginx", name, code): 1 for name in names for code in ("2xx", "502")},
        failures={FailureKey("nginx", name, name, "connect-refused"): 2 for name in names},
        attempts={AttemptKey("nginx", name, "connect-refused"): 3 for name in names},
        recovered=dict.fromkeys((TargetKey("nginx", name) for name in names), 4),
        durations={TargetKey("nginx", name): Times([1] * (len(BOUNDS_S) + 1), 5.0) for name in names},
        members=[member(name) for name in names],
        checks_failed={AttemptKey("nginx", name, "connect-refused"): 3 for name in names},
        incidents=[incident(i, target=name) for i, name in enumerate(names)],
        logs=[LogTotal(log=name, kind=LogKind.ACCESS, newest_at=NOW) for name in names],
        pending=dict.fromkeys(names, 1),
        routes=[Route(proxy="nginx", location=name, targets=(name,), timeouts_s={"read": 60.0}) for name in names],
    )


@pytest.mark.thorough
def test_a_flood_of_labels_ends_in_other() -> None:
    shown = Shown(flood(0))
    shown.series()
    shown.view = flood(5000)
    assert shown.series() <= SERIES
    failures = shown.values("why502_failures_total")
    assert sum(failures.values()) == 10_000
    assert failures["other", "nginx", "connect-refused"] > 9_000
    assert shown.values("why502_series_overflow_total")[()] > 5_000
    before = shown.values("why502_series_overflow_total")
    assert shown.values("why502_series_overflow_total") == before, "each label set is counted once"


def test_what_the_store_has_folded_already_is_counted_from_our_start() -> None:
    """What is `other` may differ after a restart, and a fall of its total would look like a burst of failures."""
    key = RequestKey("nginx", "other", "502")
    shown = Shown(empty(requests={key: 100}))
    assert shown.values("why502_requests_total") == {("502", "other", "nginx"): 0}
    shown.view = empty(requests={key: 107})
    assert shown.values("why502_requests_total") == {("502", "other", "nginx"): 7}


def test_no_counter_ever_falls_while_labels_come_and_go() -> None:
    shown = Shown(empty())
    last: dict[tuple[str, ...], float] = {}
    totals: dict[RequestKey, int] = {}
    for step in range(30):
        for number in range(step * 40, step * 40 + 80):
            key = RequestKey("nginx", f"location-{number % 700}", "2xx")
            totals[key] = totals.get(key, 0) + number + 1
        shown.view = empty(requests=dict(totals), routes=[])
        shown.now_s += 600
        now = shown.values("why502_requests_total")
        assert all(now[labels] >= value for labels, value in last.items() if labels in now)
        last = now
    assert shown.series() <= SERIES


def test_the_series_of_a_removed_target_ends_after_an_hour() -> None:
    shown = Shown(empty(requests={GET: 5}, routes=[SHOP]))
    name = "why502_requests_total"
    assert shown.values(name)["2xx", "shop.example/", "nginx"] == 5
    shown.view = empty(requests={GET: 5}, routes=[])
    shown.now_s = 3590.0
    assert shown.values(name)["2xx", "shop.example/", "nginx"] == 5
    shown.now_s = 3610.0
    assert shown.values(name) == {}
    shown.view = empty(requests={GET: 6}, routes=[SHOP])
    assert shown.values(name)["2xx", "shop.example/", "nginx"] == 6


def test_without_a_configuration_no_series_ends() -> None:
    shown = Shown(empty(requests={GET: 5}))
    shown.series()
    shown.now_s = 1e6
    assert shown.values("why502_requests_total") == {("2xx", "shop.example/", "nginx"): 5}


def test_above_thirty_targets_the_histograms_are_of_groups() -> None:
    members = [member(f"10.0.0.{i}:80") for i in range(40)]
    times = {TargetKey("nginx", str(one.peer)): Times([1] * (len(BOUNDS_S) + 1), 2.0) for one in members}
    shown = Shown(empty(members=members, durations=times))
    assert shown.values("why502_response_duration_seconds_count") == {("nginx", "app"): 40 * (len(BOUNDS_S) + 1)}


@pytest.mark.real
@pytest.mark.parametrize("count", [0, 1, 30])
def test_promtool_finds_nothing_to_improve(count: int) -> None:
    """promtool lints names, help texts and units."""
    text = exposition(Collector(lambda: flood(count)))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
