"""From a snapshot to what the daemon needs of it: what serves what, what a target depends on, and what several targets share.

Pure: a recorded bundle gives the same.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from why502.diagnosis.case import Case
from why502.diagnosis.index import Joins
from why502.diagnosis.serving import is_missed
from why502.diagnosis.targets import addresses
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED, Diagnosis, Layer
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Dependency, Lookup, Snapshot
from why502.model.target import Target
from why502.watch.concern import Scope
from why502.watch.state.values import Served, TargetsChanged

MOST_TARGETS = 2000
_FILES = (".js", ".mjs", ".py", ".rb", ".jar", ".php", ".toml", ".ini")
_NOT_FOUND = (Lookup.FAILED, Lookup.TIMED_OUT)


def configured(snapshot: Snapshot) -> TargetsChanged:
    """Return what the gateways of a machine are configured to use."""
    return TargetsChanged(
        served=tuple(served(snapshot)),
        scopes=scopes(snapshot),
        logs={log.path: proxy.kind for proxy in snapshot.proxies or () for log in proxy.logs if log.path},
        aliases=aliases(snapshot),
        running=frozenset(proxy.kind for proxy in snapshot.proxies or () if proxy.is_running),
        missed={proxy.kind: _why_stopped(proxy) for proxy in snapshot.proxies or () if _is_missed(proxy, snapshot)},
        gateway_units={
            proxy.kind: (proxy.unit or f"{proxy.kind}.service",)
            for proxy in snapshot.proxies or ()
            if proxy.unit or proxy.unit_state
        },
    )


def _is_missed(proxy: Proxy, snapshot: Snapshot) -> bool:
    """Return whether a gateway should run and does not, while no other gateway of its kind runs."""
    runs = any(other.is_running for other in snapshot.proxies or () if other.kind == proxy.kind)
    return not runs and not proxy.is_running and (proxy.unit_state == "failed" or is_missed(proxy, snapshot))


def _why_stopped(proxy: Proxy) -> str:
    return proxy.why_stopped or f"its unit is {proxy.unit_state}"


def served(snapshot: Snapshot) -> Iterator[Served]:
    """Yield each location with the targets that serve it."""
    for proxy in snapshot.proxies or ():
        for route in proxy.routes:
            peers = tuple(dict.fromkeys(str(peer.target) for peer in route.peers if peer.target and not peer.is_down))
            yield Served(proxy=proxy.kind, location=location_of(route), targets=peers, group=route.upstream or "")


def location_of(route: Route) -> str:
    """Return the name of a route's location, as the counters have it: `shop.example/api/`, `shop.example ~ \\.php$`."""
    server = (route.server_names or (route.server,))[0]
    location = route.location
    return server + (location if not location or location.startswith("/") or not server else f" {location}")


def aliases(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each configured target that is a name."""
    found = {}
    for peer in _peers(snapshot):
        if peer.target is not None and not peer.target.is_address:
            found[str(peer.target)] = tuple(str(target) for target in addresses(peer, snapshot))
    return found


def _peers(snapshot: Snapshot) -> Iterator[Peer]:
    known: set[int] = set()
    for proxy in snapshot.proxies or ():
        for peers in (*(route.peers for route in proxy.routes), *(group.peers for group in proxy.upstreams)):
            if id(peers) not in known:
                known.add(id(peers))
                yield from peers


def scopes(snapshot: Snapshot) -> dict[str, Scope]:
    """Return for each configured target what it depends on."""
    index = Joins(snapshot)
    found: dict[str, Scope] = {}
    for peer in _peers(snapshot):
        if peer.target is None or str(peer.target) in found or len(found) >= MOST_TARGETS:
            continue
        cases = [
            Case(here=snapshot, vantages=(), target=target, index=index) for target in addresses(peer, snapshot) or (peer.target,)
        ]
        found[str(peer.target)] = _scope(cases, peer.target, snapshot)
    return found


def _scope(cases: Iterable[Case], target: Target, snapshot: Snapshot) -> Scope:
    processes: dict[int, Process] = {}
    services: dict[str, Service] = {}
    pools: dict[str, str] = {}
    depended: list[Dependency] = []
    for case in cases:
        processes |= {process.pid: process for process in case.processes}
        services |= {service.name: service for service in case.services}
        pools |= {pool.file: pool.unit for pool in case.pools}
        depended += case.dependencies
    ways = list(_ways(target, snapshot))
    return Scope(
        pids=_unique((*processes, *(each.main_pid or 0 for each in services.values()), *(each.pid or 0 for each in depended))),
        units=_names(
            (
                *services,
                *(each.manager_unit for each in services.values()),
                *(process.unit for process in processes.values()),
                *(process.container for process in processes.values()),
                *pools.values(),
                *(each.unit for each in depended),
            )
        ),
        paths=_names((*_paths(processes.values(), services.values()), *pools)),
        proxy_pids=_unique(pid for proxy, _ in ways for pid in proxy.pids),
        proxy_units=_names(proxy.unit for proxy, _ in ways),
        proxy_paths=_names(path for _, route in ways for path in _files(route)),
    )


def _ways(target: Target, snapshot: Snapshot) -> Iterator[tuple[Proxy, Route]]:
    for proxy in snapshot.proxies or ():
        for route in proxy.routes:
            if any(peer.target == target for peer in route.peers):
                yield proxy, route


def _files(route: Route) -> Iterator[str]:
    """Yield the files whose text makes a route, and the certificates that it names."""
    positions: tuple[Position | None, ...] = (route.at, route.server_at, route.location_at, *(peer.at for peer in route.peers))
    yield from (at.file for at in positions if at)
    for name, settings in route.settings.items():
        for setting in settings:
            if setting.at and setting.at.file:
                yield setting.at.file
            if is_certificate(name) and setting.args:
                yield setting.args[0]


def is_certificate(name: str) -> bool:
    """Return whether a setting names a certificate or its key."""
    return "certificate" in name or name in ("ca-file", "crt")


def _paths(processes: Iterable[Process], services: Iterable[Service]) -> Iterator[str]:
    """Yield the files and directories that processes and services are made of."""
    for process in processes:
        yield process.exe
        yield process.cwd
        yield from _arguments(process.argv, process.cwd)
    for service in services:
        yield service.unit_file
        directory = service.settings.get("WorkingDirectory", "")
        yield directory
        yield from service.settings.get("DropInPaths", "").split()
        yield from _arguments(service.argv, directory)


def _arguments(argv: tuple[str, ...], directory: str) -> Iterator[str]:
    for word in argv[:20]:
        path = word.rpartition("=")[2] if word.startswith("-") else word
        if path.startswith("/"):
            yield path
        elif directory.startswith("/") and ("/" in path or path.endswith(_FILES)):
            yield posixpath.join(directory, path)


def _unique(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(number for number in numbers if number))


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name not in ("", "/")))


def roots(snapshot: Snapshot, diagnosis: Diagnosis) -> dict[str, str]:
    """Return for failing targets what they share with others: a dependency that does not answer, a unit, another machine."""
    found: dict[str, str] = {}
    for dependency in snapshot.dependencies or ():
        if dependency.is_heard is False or dependency.is_stopped or dependency.waiting or dependency.connecting:
            found[str(dependency.target)] = str(dependency.peer)
    units = Counter(service.name for service in snapshot.services or () for _ in service.targets)
    for service in snapshot.services or ():
        for target in service.targets:
            if units[service.name] > 1:
                found.setdefault(str(target), service.name)
    local = set(snapshot.addresses or ())
    for finding in diagnosis.findings:
        other = finding.target
        if finding.confidence >= ASSERTED and finding.layer is Layer.NETWORK and other and not other.is_loopback:
            if other.host not in local:
                found.setdefault(str(other), f"machine {other.host}")
    return found


def own_network(snapshot: Snapshot) -> str:
    """Return why this machine itself reaches nothing: its gateway or its name servers do not answer; "" if they do."""
    bad = [path for path in snapshot.paths or () if path.gateway and path.neighbour in ("FAILED", "INCOMPLETE")]
    gateways = Counter((path.gateway, path.device) for path in bad)
    for (gateway, device), count in gateways.items():
        if count > 1:
            return f"the gateway {gateway} on {device} does not answer"
    missing = [path for path in snapshot.paths or () if path.route == "none"]
    if len(missing) > 1:
        return "this machine has no route to other machines"
    asked = [name for name in snapshot.names or () if name.source != "/etc/hosts"]
    if len(asked) > 1 and all(name.outcome in _NOT_FOUND for name in asked):
        return "no name server answers"
    return ""


@dataclass(frozen=True, slots=True)
class Routing:
    """What a configuration does for each target, so that two configurations can be compared."""

    by_target: dict[str, frozenset[tuple[object, ...]]]
    rest: frozenset[tuple[object, ...]]


def routing(proxy: Proxy) -> Routing:
    """Return the routes of a proxy by target, without their positions."""
    by_target: dict[str, set[tuple[object, ...]]] = {}
    rest: set[tuple[object, ...]] = set()
    for route in proxy.routes:
        settings = tuple(sorted((name, tuple(each.args for each in found)) for name, found in route.settings.items()))
        peers = tuple((peer.name, peer.is_down, peer.is_backup, peer.max_fails, peer.max_conns) for peer in route.peers)
        text = (
            location_of(route),
            route.listens,
            route.passes,
            peers,
            route.http_version,
            route.host_header,
            route.headers,
            settings,
        )
        names = [str(peer.target) for peer in route.peers if peer.target]
        for name in names:
            by_target.setdefault(name, set()).add(text)
        if not names:
            rest.add(text)
    return Routing({name: frozenset(found) for name, found in by_target.items()}, frozenset(rest))


def changed_targets(before: Proxy, after: Proxy) -> tuple[str, ...]:
    """Return the targets whose routes differ between two configurations of a proxy; () if something else differs, too."""
    one, other = routing(before), routing(after)
    names = {*one.by_target, *other.by_target}
    found = tuple(sorted(name for name in names if one.by_target.get(name) != other.by_target.get(name)))
    is_only = one.rest == other.rest and before.worker_connections == after.worker_connections
    return found if is_only else ()
