"""Connection tracking, and local ports towards each target (tcp(7), ip(7), nf_conntrack-sysctl.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.collectors.kernel import conntrack_of, limits_of, tables_of, towards
from why502.collectors.owners import wanted
from why502.host.base import Host
from why502.machine import sockets
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0
TARGETS = 16  # with the most ports in use; the others are further from the limit


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the tracked connections, and the ports in use towards the targets with the most connections."""
    running = next((proxy for proxy in known.proxies or () if proxy.is_running), None)
    away = running.pid if running is not None and running.network else None
    directory = tables_of(known)[0][0]
    tracked = conntrack_of(host, directory, away)
    count, most = tracked["conntrack_count"], tracked["conntrack_max"]
    if count is not None and most:
        yield Limit(kind=LimitKind.CONNTRACK, subject="machine", at=at, used=count, limit=most)
    limits = limits_of(host, away)
    first, last = limits["ports_first"], limits["ports_last"]
    if first is None or last is None:
        yield Gap(source="local ports", reason="/proc/sys/net/ipv4/ip_local_port_range cannot be read")
        return
    rows, is_whole = sockets.read_tcp(host, directory)
    if not is_whole:
        yield Gap(source="local ports", reason="there are too many sockets to count")
        return
    _, used = towards((target for target in wanted(known) if not target.is_unix), rows, [])
    for target, ports in sorted(used.items(), key=lambda one: -one[1])[:TARGETS]:
        yield Limit(kind=LimitKind.PORTS, subject=str(target), at=at, used=ports, limit=last - first + 1)
