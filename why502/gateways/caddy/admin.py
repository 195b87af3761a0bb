"""Caddy's admin API: its running configuration, and what it counts of each upstream.

The API tells no health: `fails` counts recent failures, if passive checks are on (`fail_duration`); the result of active checks
is only in the metrics, one value for an address, refreshed every 10 s. Sources: caddyserver.com/docs/api; modules/caddyhttp/
reverseproxy/{admin,metrics,healthchecks}.go; seen with Caddy 2.11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from why502.gateways.admin import AdminView, Asking, Door
from why502.gateways.caddy.config import INTERFACE, admin_of
from why502.gateways.caddy.config.json_form import checked_in, routes_in
from why502.gateways.caddy.config.routes import groups_of, target_of
from why502.gateways.running import Texts
from why502.model.config import Peer, Route
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.target import Target

CONFIG, UPSTREAMS, METRICS = "/config/", "/reverse_proxy/upstreams", "/metrics"
_DEFAULT = Target(host="localhost", port=2019)
_HEALTHY = lazy(r'caddy_reverse_proxy_upstreams_healthy\{[^}\n]{0,200}upstream="([^"\n]{1,300})"[^}\n]{0,200}\} ([01])\b')


def doors(proxy: Proxy, _: Process, texts: Texts, environment: Mapping[str, str]) -> Iterator[Door]:
    """Yield where it listens: as its main file says, else as its environment does, else the default.

    Raises HostError if it was switched off.
    """
    written, at = admin_of(dict(texts).get(proxy.config, ""), proxy.config) if proxy.config else ("", None)
    if written == "off":
        raise HostError(f"its admin interface is switched off by {at}", "remove `admin off` there, to let why502 read its view")
    if written:
        named_by = str(at or proxy.config)
    else:
        written = environment.get("CADDY_ADMIN", "")
        named_by = "CADDY_ADMIN in its environment" if written else "its default"
    target = _address(written) if written else _DEFAULT
    if target is not None:
        yield Door(target=target, named_by=named_by, host_header="127.0.0.1" if target.is_unix else "")


def _address(written: str) -> Target | None:
    """Return the address of an admin interface as written: `localhost:2019`, `:2019`, `tcp/…`, `unix//run/caddy.sock|0660`."""
    host = written.rpartition("://")[2].removeprefix("tcp/")
    if host.startswith(":"):
        return Target(host="localhost", port=int(host[1:])) if host[1:].isdecimal() and int(host[1:]) < 65536 else None
    return target_of(host)


def look(ask: Asking, proxy: Proxy) -> AdminView:
    """Return its upstreams with their counters; the running routes, if they lead to other servers than the files do."""
    tree = ask.json(CONFIG)
    if not isinstance(tree, dict):
        tree = {}  # it has no configuration yet
    running = tuple(routes_in(tree, INTERFACE))
    counted = _counted(ask)
    healthy = _healthy(ask) if (checked := checked_in(tree)) else {}
    peers = {peer.name: peer for route in running for peer in route.peers}
    names = dict.fromkeys((*peers, *counted))
    routes = _together(proxy.routes, running)
    return AdminView(
        peers=tuple(_view(name, peers.get(name), counted.get(name, {}), healthy.get(name), checked) for name in names),
        routes=routes,
        upstreams=None if routes is None else groups_of(routes),
        not_in_files=_not_in_files(proxy.routes, running),
    )


def _counted(ask: Asking) -> dict[str, dict[str, Any]]:
    """Return the counters of each upstream by address; none if it has not connected to any yet."""
    found = ask.json(UPSTREAMS)
    rows = found if isinstance(found, list) else []
    return {row["address"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("address"), str)}


def _healthy(ask: Asking) -> dict[str, bool]:
    """Return the result of the active checks by address, as the metrics have it; none if they are not served there."""
    try:
        text = ask.get(METRICS).decode("utf-8", "replace")
    except HostError:
        return {}
    return {match[1]: match[2] == "1" for match in _HEALTHY.finditer(text)}


def _view(name: str, peer: Peer | None, counts: dict[str, Any], is_healthy: bool | None, checked: frozenset[str]) -> PeerView:
    fails, active = (value if isinstance(value := counts.get(key), int) else None for key in ("fails", "num_requests"))
    is_left_out = peer is not None and 0 < peer.max_fails <= (fails or 0)
    state = PeerState.UNCHECKED
    if name in checked:
        state = {None: PeerState.UNKNOWN, True: PeerState.UP, False: PeerState.DOWN}[is_healthy]
    if is_left_out:
        state = PeerState.EJECTED
    return PeerView(
        name=name,
        target=peer.target if peer is not None else target_of(name),
        state=state,
        check="upstreams_healthy 0" if state is PeerState.DOWN else "",
        reason=f"{fails} requests failed within {peer.fail_timeout_s:g} s" if peer is not None and is_left_out else "",
        failures=fails,
        active=active,
        source=METRICS if state is PeerState.DOWN else UPSTREAMS,
    )


def _targets(routes: tuple[Route, ...]) -> set[Target | None]:
    return {peer.target for route in routes for peer in route.peers}


def _together(written: tuple[Route, ...], running: tuple[Route, ...]) -> tuple[Route, ...] | None:
    """Return the routes of the files with those that only the running configuration has; None if the files hold.

    Routes of the files have positions, so they stand for the running ones that lead to the same servers.
    """
    known = _targets(written)
    more = tuple(route for route in running if not {peer.target for peer in route.peers} <= known)
    return (*written, *more) if more else None


def _not_in_files(written: tuple[Route, ...], running: tuple[Route, ...]) -> tuple[Target, ...]:
    """Return the servers that the running configuration has and no file names; none if a file may mean any."""
    if not written or any(route.has_variables for route in written):
        return ()
    return tuple(sorted(target for target in _targets(running) - _targets(written) if target is not None))
