"""The containers of Docker's and podman's engines, root's and those of users, and those of a Kubernetes node's pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.collectors import owners
from why502.collectors.base import CollectOptions, Found
from why502.diagnosis.targets import peer_sets, routes
from why502.host.base import Host
from why502.model.container import Container
from why502.model.snapshot import Gap, Snapshot
from why502.supervisors.docker import engine
from why502.supervisors.kubernetes import pods

SECTION = "containers"
NEEDS = ("processes",)
LIMIT_S = 6.0
WINDOW = timedelta(minutes=15)


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Container, ...]]:
    """Return the containers of all engines and pods."""
    return list(parts(host, known, options))[-1]


def parts(host: Host, known: Snapshot, options: CollectOptions) -> Iterator[Found[tuple[Container, ...]]]:
    """Yield the containers of root's engines and of pods, then again with those of each user's."""
    until = known.until or known.taken_at
    targets = tuple(owners.wanted(known))
    names = {peer.target.host for peers in peer_sets(routes(known)) for peer in peers if peer.target}
    hosts = {target.host for target in targets} | names
    ports = {target.port for target in targets}
    own = {process.pid for process in known.processes or () if process.container}
    gateways = {proxy.pid for proxy in known.proxies or ()} & own
    ids = {process.container for process in known.processes or () if process.pid in gateways}

    def rank(container: Container) -> tuple[int, ...]:
        is_named = bool(container.addresses & hosts) or any(container.is_called(name) for name in (*hosts, container.service))
        is_meant = container.id in ids or is_named or container.service in hosts or any(
            port.outer in ports for port in container.published
        )  # fmt: skip
        health = container.health.status if container.health else ""
        is_troubled = not container.is_running or health in ("unhealthy", "starting")
        created = int(container.created_at.timestamp()) if container.created_at else 0
        return (not is_meant, not is_troubled, -created)

    asked = engine.Look(known.since or until - WINDOW, until, rank, targets)
    found: list[Container] = []
    gaps: list[Gap] = []
    of_pods = pods.containers(host, known.networks or ())
    for uid, containers, missed in engine.every(host, asked):
        if uid:
            yield Found(_with_pods(found, of_pods), tuple(gaps))
        found += containers
        gaps += missed
    yield Found(_with_pods(found, of_pods), tuple(gaps))


def _with_pods(found: list[Container], of_pods: tuple[Container, ...]) -> tuple[Container, ...]:
    """Return the containers of engines, and those of pods that none of these engines describes."""
    ids = {one.id for one in found}
    return (*found, *(one for one in of_pods if one.id not in ids))
