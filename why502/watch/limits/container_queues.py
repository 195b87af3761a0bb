"""The same queues in other network namespaces, those of containers: less often, because a process must enter each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.host.base import Host
from why502.model.snapshot import Gap, Snapshot
from why502.watch.limits.queues import queues, targets_of
from why502.watch.model import Limit

EVERY_S = 10.0
NETWORKS = 16


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the queue of each listener in the network namespace of a proxy or a backend. Raises HostError."""
    targets = targets_of(known)
    entered: dict[str, int] = {proxy.network: proxy.pid for proxy in known.proxies or () if proxy.network and proxy.pid}
    for listener in known.listeners or ():
        if listener.network and listener.pids and listener.target in targets:
            entered.setdefault(listener.network, listener.pids[0])
    pids = list(entered.values())[:NETWORKS]
    for pid, table in zip(pids, host.sockets(*pids) if pids else (), strict=False):
        if table.reason:
            yield Gap(source="accept queues", reason=f"network namespace of process {pid}: {table.reason}")
        yield from queues(table.sockets, targets, at)
