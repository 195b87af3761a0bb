"""The containers of Docker's and podman's engines, root's and those of users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.collectors import owners
from why502.collectors.base import Ask, Found
from why502.diagnosis.index import peer_sets, routes
from why502.host.base import Host
from why502.model.container import Container
from why502.model.snapshot import Gap, Snapshot
from why502.supervisors.docker import engine

SECTION = "containers"
NEEDS = ("processes",)
LIMIT_S = 6.0
WINDOW = timedelta(minutes=15)


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[Container, ...]]:
    """Return the containers of all engines."""
    return list(parts(host, known, ask))[-1]


def parts(host: Host, known: Snapshot, ask: Ask) -> Iterator[Found[tuple[Container, ...]]]:
    """Yield the containers of root's engines, then again with those of each user's."""
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
    for uid, containers, missed in engine.every(host, asked):
        if uid:
            yield Found(tuple(found), tuple(gaps))
        found += containers
        gaps += missed
    yield Found(tuple(found), tuple(gaps))
