"""Upgrades of a connection (WebSocket) that a route forwards, and those that a backend requires."""

from __future__ import annotations

from why502.diagnosis.alarms import FEW
from why502.diagnosis.targets import addresses, routes
from why502.gateways.behaviour import behaviour
from why502.model.config import Route
from why502.model.logs import PathTraffic
from why502.model.snapshot import Snapshot
from why502.model.target import Target

UPGRADED = "101"  # RFC 9110, 15.2.2
UPGRADE_REQUIRED = "426"  # RFC 9110, 15.5.22


def refused_upgrades(snapshot: Snapshot) -> dict[Target, PathTraffic]:
    """Return the targets that require an upgrade (426) on paths whose route does not forward upgrades,
    each with the path where this occurred most often.
    """
    plain = {route.at: route for route in routes(snapshot) if route.at and not passes_upgrade(route)}
    found: dict[Target, PathTraffic] = {}
    for path in snapshot.logs.paths if snapshot.logs else ():
        route = plain.get(path.at) if path.at else None
        count = path.statuses.get(UPGRADE_REQUIRED, 0)
        if route is None or count < FEW or len(route.peers) != 1:
            continue
        for target in addresses(route.peers[0], snapshot):
            if target not in found or found[target].statuses[UPGRADE_REQUIRED] < count:
                found[target] = path
    return found


def passes_upgrade(route: Route) -> bool:
    """Return whether a route forwards the client's Upgrade header; most gateways do so by default."""
    does = behaviour(route.proxy)
    if does.upgrade_setting:
        return route.setting(does.upgrade_setting) is not None or route.protocol not in ("http", "https")
    return does.forwards_upgrade or any(name.lower() == "upgrade" and value for name, value in route.headers)
