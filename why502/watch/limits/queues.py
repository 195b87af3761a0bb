"""Accept queues of the proxies and of their backends: connections that nobody accepted yet, against listen()'s limit.

Once a second, because a queue fills within seconds. One answer of the kernel holds them all (sock_diag(7)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from why502.collectors.owners import wanted
from why502.host.base import Host, KernelSocket
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target
from why502.watch.model import Limit, LimitKind

EVERY_S = 1.0


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the queue of each listener of a proxy or a target on this machine. Raises HostError."""
    for table in host.sockets():
        if table.reason:
            yield Gap(source="accept queues", reason=table.reason)
        yield from queues(table.sockets, targets_of(known), at)


def targets_of(known: Snapshot) -> tuple[Target, ...]:
    """Return the addresses whose queues matter: of the targets, and the proxies' own."""
    listens = (listen for proxy in known.proxies or () if proxy.is_running for listen in proxy.listens)
    return tuple(dict.fromkeys((*wanted(known), *listens)))


def queues(found: Iterable[KernelSocket], targets: Iterable[Target], at: datetime) -> Iterator[Limit]:
    """Yield the fullest queue of each target: several sockets may share an address (SO_REUSEPORT)."""
    by_end: dict[Target, KernelSocket] = {}
    by_port: dict[int, KernelSocket] = {}
    for one in found:
        if not one.is_listening or one.backlog <= 0:
            continue
        by_end[one.target] = _fuller(by_end.get(one.target), one)
        if one.target.is_wildcard:
            by_port[one.target.port] = _fuller(by_port.get(one.target.port), one)
    for target in targets:
        socket = by_end.get(target) or (None if target.is_unix else by_port.get(target.port))
        if socket is not None:
            yield Limit(
                kind=LimitKind.LISTEN_QUEUE, subject=str(target), at=at, used=float(socket.queued), limit=float(socket.backlog)
            )


def _fuller(one: KernelSocket | None, other: KernelSocket) -> KernelSocket:
    return one if one is not None and one.queued / one.backlog > other.queued / other.backlog else other
