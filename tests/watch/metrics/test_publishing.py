"""The ways out: a file that is always whole, and a receiver that parses OTLP with the protocol's own definition."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from free_ports import free_port
from metric_views import BOUNDS_S, NOW, Times, empty, incident, member
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families as parse

from why502.model.errors import Why502Error
from why502.watch.metrics import publishing as publishing_module
from why502.watch.metrics import textfile
from why502.watch.metrics.collector import Collector, exposition
from why502.watch.metrics.publishing import Publisher
from why502.watch.metrics.settings import MetricsSettings
from why502.watch.model import RequestKey, TargetKey


def view() -> Any:
    times = Times()
    times.add(0.02, 3)
    times.add(100.0)
    return empty(
        requests={RequestKey("nginx", "shop.example/", "502"): 7},
        durations={TargetKey("nginx", "127.0.0.1:3000"): times},
        members=[member("127.0.0.1:3000")],
        incidents=[incident()],
    )


@contextmanager
def publishing(notes: Queue[str], **settings: object) -> Iterator[None]:
    publisher = Publisher(view, tuple, notes.put)
    publisher.configure(MetricsSettings(listen="", **settings))  # type: ignore[arg-type]
    try:
        yield
    finally:
        publisher.stop()


@contextmanager
def receiver(statuses: list[int]) -> Iterator[tuple[str, Queue[bytes]]]:
    """Yield the URL of a receiver that answers with these statuses, then with 200, and what it got."""
    got: Queue[bytes] = Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics", got
        server.shutdown()


def test_opentelemetry() -> None:
    notes: Queue[str] = Queue()
    with receiver([]) as (url, got), publishing(notes, otlp=url, interval_s=1.0):
        sent = ExportMetricsServiceRequest.FromString(got.get(timeout=20))
    (resource,) = sent.resource_metrics
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes}["host.name"] == "web1"
    metrics = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    (point,) = [each for each in metrics["why502_requests"].sum.data_points if each.as_double]
    assert metrics["why502_requests"].sum.is_monotonic and metrics["why502_requests"].sum.aggregation_temporality == 2
    assert {pair.key: pair.value.string_value for pair in point.attributes} == {
        "proxy": "nginx",
        "location": "shop.example/",
        "code": "502",
    }
    assert point.as_double == 7 and point.time_unix_nano == int(NOW.timestamp()) * 10**9
    (times,) = metrics["why502_response_duration_seconds"].histogram.data_points
    assert (tuple(times.explicit_bounds), times.count, times.sum) == (BOUNDS_S, 4, pytest.approx(100.06))
    assert (list(times.bucket_counts).count(0), times.bucket_counts[2], times.bucket_counts[-1]) == (len(BOUNDS_S) - 1, 3, 1)
    assert not times.HasField("min") and not times.HasField("max")
    assert metrics["why502_incidents_open"].gauge.data_points[0].as_double == 1
    assert metrics["why502_build_info"].gauge.data_points and "process_cpu_seconds" in metrics
    assert notes.empty()


@pytest.mark.thorough
def test_a_receiver_that_refuses_is_noted_once_and_again_when_it_accepts() -> None:
    notes: Queue[str] = Queue()
    with receiver([400, 400]) as (url, got), publishing(notes, otlp=url, interval_s=1.0):
        assert notes.get(timeout=20).endswith("not accepted")
        assert notes.get(timeout=20).endswith("works again")
        assert got.qsize() >= 3


def test_the_file_has_our_metrics_only(tmp_path: Path) -> None:
    """node_exporter has metrics named process_… of its own, and refuses all files that repeat one."""
    path = tmp_path / "why502.prom"
    notes: Queue[str] = Queue()
    with publishing(notes, textfile=str(path)):
        while not path.exists():
            assert notes.empty()
    families = list(parse(path.read_text()))
    assert families and all(family.name.startswith("why502_") for family in families)
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["why502.prom"]


def test_a_file_that_cannot_be_written_is_noted(tmp_path: Path) -> None:
    notes: Queue[str] = Queue()
    with publishing(notes, textfile=str(tmp_path / "missing" / "why502.prom")):
        assert notes.get(timeout=20).endswith("no such file or directory")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader sees one of both contents, never a part."""
    path = tmp_path / "why502.prom"
    contents = [b"a 1\n" * 50_000, b"b 2\n" * 50_000]
    textfile.write(path, contents[0])
    done = threading.Event()

    def rewrite() -> None:
        for number in range(200):
            textfile.write(path, contents[number % 2])
        done.set()

    threading.Thread(target=rewrite).start()
    while not done.is_set():
        assert path.read_bytes() in contents


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "why502.prom"
    textfile.write(path, b"old 1\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space"):
        textfile.write(path, b"new 1\n")
    assert path.read_bytes() == b"old 1\n" and os.listdir(tmp_path) == ["why502.prom"]


def test_new_settings_take_over_without_a_gap(tmp_path: Path) -> None:
    """A bad address leaves everything as it was."""
    first, second = (f"unix:{tmp_path}/{name}.sock" for name in ("first", "second"))
    publisher = Publisher(view, tuple, Queue[str]().put)
    try:
        publisher.configure(MetricsSettings(listen=first))
        with pytest.raises(Why502Error):
            publisher.configure(MetricsSettings(listen="unix:/proc/none.sock", textfile=f"{tmp_path}/why502.prom"))
        assert os.listdir(tmp_path) == ["first.sock"]
        publisher.configure(MetricsSettings(listen=second))
        assert os.listdir(tmp_path) == ["second.sock"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(second.removeprefix("unix:"))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"\nprocess_cpu_seconds_total " in client.makefile("rb").read()
    finally:
        publisher.stop()
    assert os.listdir(tmp_path) == []


def test_an_address_that_is_taken_at_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing_module, "RETRY_S", 0.02)
    notes: Queue[str] = Queue()
    publisher = Publisher(view, tuple, notes.put)
    try:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            publisher.start(MetricsSettings(listen=f"127.0.0.1:{port}"))
            said = notes.get(timeout=10)
            assert said == f"serving metrics: metrics.listen: cannot listen on 127.0.0.1:{port}: address already in use"
        assert notes.get(timeout=10) == "serving metrics works again"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"\nprocess_cpu_seconds_total " in client.makefile("rb").read()
    finally:
        publisher.stop()


def test_a_bad_address_is_an_error_at_the_start() -> None:
    with pytest.raises(Why502Error, match="has no port"):
        Publisher(view, tuple, Queue[str]().put).start(MetricsSettings(listen="127.0.0.1:x"))


@pytest.mark.real
def test_node_exporter_serves_the_file(tmp_path: Path) -> None:
    port = free_port()
    textfile.write(tmp_path / "why502.prom", exposition(Collector(view)))
    arguments = [
        f"--web.listen-address=127.0.0.1:{port}",
        f"--collector.textfile.directory={tmp_path}",
        "--collector.disable-defaults",
        "--collector.textfile",
    ]
    with subprocess.Popen(["prometheus-node-exporter", *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            text = _wait_for(f"http://127.0.0.1:{port}/metrics")
        finally:
            process.terminate()
    found = {family.name: family.samples for family in parse(text)}
    assert found["node_textfile_scrape_error"][0].value == 0
    assert [sample.value for sample in found["why502_requests"] if sample.labels["code"] == "502"] == [7]


def _wait_for(url: str) -> str:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.05)
    raise AssertionError(url)
