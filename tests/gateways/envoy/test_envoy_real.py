"""A real Envoy: found with its options, tested by its own binary without a trace, and asked over a unix socket."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from free_ports import free_port
from msgspec.structs import replace

from why502.collectors import admin, config_test, proxies
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.logs import Symptom
from why502.model.proxy import ConfigTest, PeerState, Proxy
from why502.model.snapshot import Snapshot

ENVOY = f"{sys.prefix}/bin/envoy"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists(ENVOY), reason="needs envoy"),
]
TEXT = """\
admin: {{address: {{pipe: {{path: {directory}/admin}}}}}}
dynamic_resources:
  cds_config: {{path_config_source: {{path: {directory}/cds.yaml}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          access_log:
          - name: log
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {directory}/access.log
          route_config: {{validate_clusters: false, virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: shop}}}}]}}]}}
          http_filters:
          - {{name: r, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
node: {{id: a, cluster: b}}
"""
CLUSTER = """\
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: shop
  load_assignment:
    cluster_name: shop
    endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]
"""


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield its directory, the port of its listener, and that of its server, where nothing listens."""
    port, server = free_port(), free_port()
    config = tmp_path / "envoy.yaml"
    config.write_text(TEXT.format(directory=tmp_path, port=port))
    (tmp_path / "cds.yaml").write_text(CLUSTER.format(port=server))
    argv = [ENVOY, "-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    process = subprocess.Popen(argv, cwd=tmp_path)
    try:
        until = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None and time.monotonic() < until, "it does not start"
            time.sleep(0.02)
        yield tmp_path, port, server
    finally:
        process.terminate()
        process.wait(20)


def found(directory: Path) -> Proxy:
    """Return the Envoy of a directory, as collected."""
    seen = proxies.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC)), CollectOptions()).value or ()
    return next(proxy for proxy in seen if proxy.config == f"{directory}/envoy.yaml")


def with_all(proxy: Proxy) -> Snapshot:
    return Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,))


def everything(directory: Path) -> dict[str, tuple[int, ...]]:
    return {str(path): (s.st_ino, s.st_size, s.st_mtime_ns) for path in directory.rglob("*") for s in (path.lstat(),)}


def test_it_is_found_with_the_files_that_it_names(envoy: tuple[Path, int, int]) -> None:
    directory, port, server = envoy
    proxy = found(directory)
    assert [file.path for file in proxy.files] == [f"{directory}/envoy.yaml", f"{directory}/cds.yaml"]
    (route,) = proxy.routes
    assert (route.passes, route.listens) == ("shop", (f"127.0.0.1:{port}",))
    assert [peer.target and peer.target.port for peer in route.peers] == [server]
    assert proxy.logs[0].path == f"{directory}/access.log"


def test_its_own_test_leaves_no_trace(envoy: tuple[Path, int, int]) -> None:
    directory, _, _ = envoy
    (directory / "access.log").unlink()  # the test would make it again
    before, proxy = everything(directory), found(directory)
    told = config_test.collect(LocalHost(), with_all(proxy), CollectOptions())
    assert told.gaps == () and told.value is not None and told.value[0].test is ConfigTest.OK
    assert everything(directory) == before
    config = directory / "envoy.yaml"
    config.write_text(config.read_text().replace("stat_prefix: web", "stat_prefixes: web"))
    (bad,) = config_test.collect(LocalHost(), with_all(proxy), CollectOptions()).value or ()
    assert bad.test is ConfigTest.FAILED and "stat_prefixes" in bad.problems[0].message


def test_it_is_asked_over_its_socket(envoy: tuple[Path, int, int]) -> None:
    directory, port, server = envoy
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 503
    told = admin.collect(LocalHost(), with_all(found(directory)), CollectOptions())
    assert told.gaps == () and told.value is not None
    (proxy,) = told.value
    assert proxy.admin == f"unix:{directory}/admin" and proxy.version.count(".") == 2
    (peer,) = proxy.peers
    assert (peer.group, peer.target and peer.target.port, peer.state, peer.failures) == ("shop", server, PeerState.UNCHECKED, 1)
    (tally,) = proxy.counted
    assert (tally.symptom, tally.count, tally.target) == (Symptom.CONNECT_FAILED, 1, peer.target)
    assert replace(proxy, peers=(), counted=(), unanswered=(), admin="", version="").routes == found(directory).routes
