"""Envoy's admin interface: the state of each host, the failures that it counts, and the configuration that discovery gave it.

There is none unless the configuration has one. It is only read, by GET; what changes Envoy is a POST. Sources:
docs/root/operations/admin.rst; api/envoy/admin/v3/{clusters,server_info,config_dump}.proto.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from why502.config.configuration import Configuration
from why502.config.yaml_text import NOTHING, Item, of_plain
from why502.gateways.admin import AdminView, Asking, Door
from why502.gateways.envoy.config import MISSING, admin_address, load
from why502.gateways.envoy.config.clusters import seconds, target_of
from why502.gateways.envoy.counters import Group, Stats, grown, tallies
from why502.gateways.envoy.running import option
from why502.gateways.envoy.tallies import NO_ANSWER, NO_CONNECTION, OTHER_ANSWER
from why502.gateways.running import Texts, decoded
from why502.model.config import Peer, Route
from why502.model.errors import HostError
from why502.model.logs import TargetTraffic
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import PeerState, PeerView, Proxy

RECENT_S = 900.0  # younger counters are of the time that is looked at
BETWEEN_S = 0.8  # between two readings of older ones
_STATS = "/stats?format=json&usedonly&filter=%5E(cluster%7Chttp)%5C.%7Chttp_local_rate_limit"
_CLUSTERS = "/clusters?format=json"
_DUMP = "/config_dump?include_eds"
_SERVER_ERROR = 500
_MOST_HOSTS = 512  # of one cluster
_VERSION = lazy(r"[0-9a-f]{1,64}/(\d{1,9}\.\d{1,9}\.\d{1,9})[^/]{0,40}/")
_CHECKS = (  # flags of a host, the most important first
    ("failed_active_health_check", PeerState.DOWN),
    ("failed_outlier_check", PeerState.EJECTED),
    ("excluded_via_immediate_hc_fail", PeerState.MAINTENANCE),
    ("pending_dynamic_removal", PeerState.DRAINING),
    ("pending_active_hc", PeerState.UNKNOWN),
)
_REASONS = {
    "excluded_via_immediate_hc_fail": "it asked for no more requests (x-envoy-immediate-health-check-fail)",
    "pending_dynamic_removal": "discovery removed it",
    "pending_active_hc": "its first health check has not ended",
}
_DISCOVERED = {"UNHEALTHY": PeerState.DOWN, "TIMEOUT": PeerState.DOWN, "DRAINING": PeerState.DRAINING}
_EJECTIONS = {
    "consecutive_5xx": "too many answers with a 5xx status in a row",
    "consecutive_gateway_failure": "too many answers with 502, 503 or 504 in a row",
    "consecutive_local_origin_failure": "too many failed connections in a row",
    "success_rate": "fewer successful requests than its peers",
    "failure_percentage": "too large a share of failed requests",
}


def doors(proxy: Proxy, process: Process, texts: Texts, environment: Mapping[str, str]) -> Iterable[Door]:  # noqa: ARG001 - as of all
    """Return the address in its files. Raises HostError if they have none."""
    target = admin_address(texts)
    if target is None:
        path = option(process, ("--admin-address-path",))
        named = f": it is written to {path}" if path else ""
        raise HostError(
            f"its configuration has no admin interface{named}, so its own counters and the state of its hosts are unknown",
            "add `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}`",
        )
    return (Door(target=target, named_by="its configuration"),)


def look(ask: Asking, proxy: Proxy) -> AdminView:
    """Return what the interface says; older counters are read twice, and only their growth counts. Raises HostError."""
    info = of_plain(ask.json("/server_info"))
    before, read_at = _stats(ask), time.monotonic()
    shown = of_plain(ask.json(_CLUSTERS))
    running = _running(ask, proxy)
    match = _VERSION.match(info["version"].text)
    uptime_s = seconds(info["uptime_current_epoch"], RECENT_S)
    now = datetime.now(UTC)
    counted, began = before, now - timedelta(seconds=uptime_s)
    if uptime_s >= RECENT_S and before:
        time.sleep(max(0.0, BETWEEN_S - (time.monotonic() - read_at)))
        counted, began = grown(before, _stats(ask)), now
    names = {group.name: group.peers for group in (running.upstreams if running else proxy.upstreams)}
    groups = [_group(item, names.get(item["name"].text, ())) for item in shown["cluster_statuses"]]
    found = tallies(counted, groups, f"{ask.door.target}/stats", _own_status(proxy))
    return AdminView(
        peers=tuple(view for item in shown["cluster_statuses"] for view in _peers(item, before)),
        problems=running.problems if running else (),
        routes=running.routes if running else None,
        upstreams=running.upstreams if running else None,
        version=match[1] if match else "",
        tallies=tuple(replace(tally, first=began, last=now) for tally in found),
        unanswered=tuple(_unanswered(shown)) if uptime_s < RECENT_S else (),
    )


def _own_status(proxy: Proxy) -> int:
    """Return the only error status that its configuration answers with; 0 if there is none, or several."""
    found = {answer.status for answer in proxy.answers if answer.status >= _SERVER_ERROR}
    return found.pop() if len(found) == 1 else 0


def _unanswered(shown: Item) -> Iterator[TargetTraffic]:
    """Yield the hosts that answered no request since Envoy was started."""
    for item in shown["cluster_statuses"]:
        for host in item["host_statuses"]:
            counts = _counts(host)
            target = target_of(host["address"])
            if target is not None and counts.get("rq_total") and not counts.get("rq_success"):
                yield TargetTraffic(target=target, attempts=counts["rq_total"], failures=counts["rq_total"])


def _counts(host: Item) -> dict[str, int]:
    return {each["name"].text: int(each["value"].number or 0) for each in host["stats"]}


def _stats(ask: Asking) -> Stats:
    """Return the counters and gauges of clusters and of HTTP listeners by name."""
    answer = of_plain(ask.json(_STATS))
    found = ((each["name"].text, each["value"].number) for each in answer["stats"])
    return {name: int(value) for name, value in found if value is not None}


def _running(ask: Asking, proxy: Proxy) -> Configuration | None:
    """Return the running configuration; None if the files tell the same of its routes, or if it is too large."""
    try:
        dump = load(decoded(ask.get(_DUMP)), f"{ask.door.target}{_DUMP.partition('?')[0]}")
    except HostError:
        if proxy.routes:
            return None
        raise
    return None if _ends(dump.routes) == _ends(proxy.routes) else dump


def _ends(routes: Iterable[Route]) -> frozenset[tuple[object, ...]]:
    """Return where routes lead, to be compared."""
    return frozenset(
        (route.server, route.location, route.passes, tuple(peer.target for peer in route.peers))
        for route in routes
        if route.directive != MISSING
    )


def _group(item: Item, configured: tuple[Peer, ...]) -> Group:
    hosts = list(item["host_statuses"])
    names = {peer.target.host for peer in configured if peer.target is not None and not peer.target.is_address}
    return Group(
        name=item["name"].text,
        hosts=len(hosts),
        host=target_of(hosts[0]["address"]) if len(hosts) == 1 else None,
        hostname=names.pop() if len(names) == 1 and len(configured) == 1 else "",
    )


def _peers(item: Item, stats: Stats) -> Iterator[PeerView]:
    """Yield the hosts of a cluster."""
    group = item["name"].text
    thresholds = next((each for each in item["circuit_breakers"]["thresholds"] if not each["priority"]), NOTHING)
    limit = thresholds["max_requests"].number
    hosts = list(item["host_statuses"])
    for host in hosts[:_MOST_HOSTS]:
        counts = _counts(host)
        state, check, reason = _state(host["health_status"], group, stats)
        yield PeerView(
            group=group,
            name=host["hostname"].text,
            target=target_of(host["address"]),
            state=state,
            check=check,
            reason=reason,
            failures=counts.get("rq_error"),
            active=counts.get("rq_active"),
            queued=counts.get("rq_pending_active"),
            limit=int(limit) if limit is not None and len(hosts) == 1 else None,
            source=_CLUSTERS.partition("?")[0],
        )


def _state(health: Item, group: str, stats: Stats) -> tuple[PeerState, str, str]:
    """Return the state of a host, the flag that says so, and the reason."""
    for flag, state in _CHECKS:
        if health[flag].is_true:
            reason = _REASONS.get(flag, "")
            if state is PeerState.DOWN:
                reason = _failed_check(health, group, stats)
            elif state is PeerState.EJECTED:
                kinds = (kind for kind in _EJECTIONS if stats.get(f"cluster.{group}.outlier_detection.ejections_enforced_{kind}"))
                reason = "; ".join(_EJECTIONS[kind] for kind in kinds)
            return state, flag, reason
    discovered = health["eds_health_status"].text
    if discovered in _DISCOVERED:
        return _DISCOVERED[discovered], f"eds_health_status {discovered}", "reported by endpoint discovery"
    is_checked = bool(stats.get(f"cluster.{group}.health_check.attempt"))
    return (PeerState.UP if is_checked else PeerState.UNCHECKED), "", ""


def _failed_check(health: Item, group: str, stats: Stats) -> str:
    """Return how the health check of a host fails, as far as the counters of its cluster tell."""
    if health["active_hc_timeout"].is_true:
        return NO_ANSWER
    failed, of_network = (stats.get(f"cluster.{group}.health_check.{name}", 0) for name in ("failure", "network_failure"))
    if failed and failed == of_network:
        return NO_CONNECTION
    return OTHER_ANSWER if failed and not of_network else ""
