"""Envoy's admin interface: hosts, counters, and the running configuration, from answers of Envoy 1.40."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from why502.gateways.admin import Asking, Door
from why502.gateways.envoy import admin
from why502.gateways.envoy.config import load
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.proxy import PeerState, Proxy
from why502.model.target import Target

FILE = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": x.HttpConnectionManager
          route_config: {virtual_hosts: [{domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: shop}}]}]}
  clusters:
  - {name: shop, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3000}}}}]}]}}
"""
HEALTHY: dict[str, Any] = {"eds_health_status": "HEALTHY"}


def host(port: int = 3000, health: dict[str, Any] = HEALTHY, **counts: int) -> dict[str, Any]:
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "stats": [{"name": name, "value": str(value)} for name, value in counts.items()],
        "health_status": health,
    }


def dump(port: int = 3000) -> dict[str, Any]:
    from why502.config import yaml_text

    def plain(item: yaml_text.Item) -> Any:
        return (
            {name: plain(each) for name, each in item.members.items()}
            if item.members
            else item.text or [plain(each) for each in item]
        )

    tree = plain(yaml_text.read(FILE.replace("3000", str(port)), "f")[0])["static_resources"]
    return {
        "configs": [
            {"static_clusters": [{"cluster": {"@type": "x.Cluster", **each}} for each in tree["clusters"]]},
            {"static_listeners": [{"listener": {"@type": "x.Listener", **each}} for each in tree["listeners"]]},
        ]
    }


class Envoy(Asking):
    """Answers as an Envoy would; each reading of the counters is the next of `readings`."""

    def __init__(self, hosts: list[dict[str, Any]], *readings: dict[str, int], uptime: str = "60s", port: int = 3000) -> None:
        super().__init__(LocalHost(), Proxy(kind="envoy"), Door(target=Target(host="127.0.0.1", port=9901), named_by="a test"))
        self.asked: list[str] = []
        self.readings = [{"stats": [{"name": name, "value": value} for name, value in each.items()]} for each in readings] or [
            {"stats": []}
        ]
        self.answers = {
            "/server_info": {"version": "9e55/1.40.0/Clean/RELEASE/BoringSSL", "uptime_current_epoch": uptime},
            "/clusters": {"cluster_statuses": [{"name": "shop", "host_statuses": hosts, "circuit_breakers": LIMITS}]},
            "/config_dump": dump(port),
        }

    def get(self, path: str) -> bytes:
        self.asked.append(path)
        name = path.partition("?")[0]
        if name == "/stats":
            return json.dumps(self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]).encode()
        return json.dumps(self.answers[name]).encode()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))


LIMITS = {"thresholds": [{"max_requests": 2}, {"priority": "HIGH", "max_requests": 1024}]}


def proxy() -> Proxy:
    found = load(FILE, "/e.yaml")
    return Proxy(kind="envoy", pid=1, routes=found.routes, upstreams=found.upstreams)


def test_the_door_is_named_by_the_configuration() -> None:
    process = Process(pid=1, argv=("envoy", "-c", "/e.yaml", "--admin-address-path", "/run/admin"))
    (door,) = admin.doors(proxy(), process, [("/e.yaml", FILE)], {})
    assert door.target == Target(host="127.0.0.1", port=9901)
    with pytest.raises(HostError) as error:
        admin.doors(proxy(), process, [("/e.yaml", "node: {id: a}")], {})
    assert "no admin interface" in error.value.reason and "/run/admin" in error.value.reason and "admin:" in error.value.hint


def test_counters_of_a_young_envoy_count_since_its_start() -> None:
    ask = Envoy([host(rq_total=3, rq_error=3)], {"cluster.shop.upstream_cx_connect_fail": 3, "cluster.shop.upstream_rq_5xx": 3})
    view = admin.look(ask, proxy())
    (tally,) = view.tallies
    assert (tally.symptom, tally.count, tally.target) == (Symptom.CONNECT_FAILED, 3, Target(host="127.0.0.1", port=3000))
    assert tally.first is not None and timedelta(seconds=55) < datetime.now(UTC) - tally.first < timedelta(seconds=70)
    assert view.version == "1.40.0" and view.routes is None and view.problems == ()
    assert [(each.target.port, each.attempts, each.failures) for each in view.unanswered] == [(3000, 3, 3)]
    assert len([path for path in ask.asked if path.startswith("/stats")]) == 1
    assert all(path.partition("?")[0] in ("/server_info", "/stats", "/clusters", "/config_dump") for path in ask.asked)


def test_of_an_old_envoy_only_growth_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "BETWEEN_S", 0.0)
    old = {"cluster.shop.upstream_cx_connect_fail": 900, "cluster.shop.upstream_rq_timeout": 5}
    view = admin.look(
        Envoy([host(rq_total=9, rq_error=9)], old, old | {"cluster.shop.upstream_rq_timeout": 7}, uptime="90000s"), proxy()
    )
    (tally,) = view.tallies
    assert (tally.symptom, tally.count) == (Symptom.READ_TIMED_OUT, 2) and view.unanswered == ()
    assert tally.first == tally.last
    assert view.peers[0].failures == 9


@pytest.mark.parametrize(
    ("health", "counters", "state", "reason"),
    [
        ({}, {}, PeerState.UNCHECKED, ""),
        ({}, {"health_check.attempt": 4}, PeerState.UP, ""),
        ({"failed_active_health_check": True, "active_hc_timeout": True}, {}, PeerState.DOWN, "the check got no answer in time"),
        (
            {"failed_active_health_check": True},
            {"health_check.failure": 3, "health_check.network_failure": 3},
            PeerState.DOWN,
            "the connection of the check failed",
        ),
        (
            {"failed_active_health_check": True},
            {"health_check.failure": 3},
            PeerState.DOWN,
            "the check got another answer than the expected one",
        ),
        (
            {"failed_active_health_check": True},
            {"health_check.failure": 3, "health_check.network_failure": 1},
            PeerState.DOWN,
            "",
        ),
        (
            {"failed_outlier_check": True},
            {"outlier_detection.ejections_enforced_consecutive_5xx": 1},
            PeerState.EJECTED,
            "too many answers with a 5xx status in a row",
        ),
        (
            {"excluded_via_immediate_hc_fail": True},
            {},
            PeerState.MAINTENANCE,
            "it asked for no more requests (x-envoy-immediate-health-check-fail)",
        ),
        ({"pending_dynamic_removal": True}, {}, PeerState.DRAINING, "discovery removed it"),
        ({"pending_active_hc": True}, {}, PeerState.UNKNOWN, "its first health check has not ended"),
        ({"eds_health_status": "UNHEALTHY"}, {}, PeerState.DOWN, "reported by endpoint discovery"),
        ({"eds_health_status": "DRAINING"}, {}, PeerState.DRAINING, "reported by endpoint discovery"),
    ],
)
def test_the_state_of_a_host(health: dict[str, Any], counters: dict[str, int], state: PeerState, reason: str) -> None:
    stats = {f"cluster.shop.{name}": value for name, value in counters.items()}
    (peer,) = admin.look(Envoy([host(health={**HEALTHY, **health}, rq_active=2, rq_error=1)], stats), proxy()).peers
    assert (peer.state, peer.reason, peer.group, peer.source) == (state, reason, "shop", "/clusters")
    assert (peer.active, peer.failures, peer.limit) == (2, 1, 2)


def test_the_running_configuration_is_taken_where_it_differs() -> None:
    assert admin.look(Envoy([host()]), proxy()).routes is None
    view = admin.look(Envoy([host()], port=3999), proxy())
    assert view.routes is not None and view.upstreams is not None
    assert view.routes[0].peers[0].target == Target(host="127.0.0.1", port=3999)
    discovered = admin.look(Envoy([host()]), Proxy(kind="envoy", pid=1))
    assert discovered.routes is not None and discovered.routes[0].passes == "shop"


def test_a_configuration_too_large_to_read_costs_only_itself() -> None:
    class Large(Envoy):
        def get(self, path: str) -> bytes:
            if path.startswith("/config_dump"):
                raise HostError("its answer is longer than 4 MiB")
            return super().get(path)

    assert admin.look(Large([host()]), proxy()).routes is None
    with pytest.raises(HostError):
        admin.look(Large([host()]), Proxy(kind="envoy", pid=1))
