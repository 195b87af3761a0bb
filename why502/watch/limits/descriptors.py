"""Open files of proxies' workers and of backends, against their own limits and the machine's; and nginx's worker_connections.

A worker of nginx takes one of its connections for each socket that it has open, listening ones and the channel to the master
included (ngx_get_connection), so the sockets among its descriptors are its connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.collectors.kernel import parse_file_nr
from why502.collectors.owners import owners
from why502.gateways.behaviour import behaviour
from why502.host.base import Host
from why502.machine.process_table import ProcessTable, Stat, parse_file_limit
from why502.model.errors import HostError, Missing
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0
PROCESSES = 128
LINKS = 20_000  # of one worker, the descriptors that are looked at; of more, all count as sockets
ALLOW = "run as root, or with CAP_SYS_PTRACE"


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the use of descriptors: the fullest process of each proxy and each backend, and the machine."""
    files = parse_file_nr(host.read("/proc/sys/fs/file-nr"))
    if files and files[1] < 1 << 62:  # as good as unlimited, since systemd 240
        yield Limit(kind=LimitKind.DESCRIPTORS, subject="machine", at=at, used=files[0], limit=files[1])
    table = ProcessTable(host)
    stats = table.stats()
    for proxy in known.proxies or ():
        workers = [pid for pid, stat in stats.items() if proxy.pid in (pid, stat.ppid)]
        yield from _fullest(host, f"{proxy.kind} workers", workers, table, stats, at)
        yield from _connections(host, proxy, [pid for pid in workers if pid != proxy.pid], at)
    for subject, pids in _backends(known).items():
        yield from _fullest(host, subject, [pid for pid in pids if pid in stats], table, stats, at)


def _backends(known: Snapshot) -> dict[str, list[int]]:
    """Return the processes of the targets by unit, without those of proxies; by target where there is no unit."""
    own = {proxy.pid for proxy in known.proxies or ()}
    processes = {process.pid: process for process in known.processes or ()}
    found: dict[str, list[int]] = {}
    for target, pids in owners(known).items():
        for pid in pids:
            process = processes.get(pid)
            if process is None or process.is_init or {pid, process.ppid} & own:
                continue
            known_here = found.setdefault(process.unit or str(target), [])
            if pid not in known_here:
                known_here.append(pid)
    return found


def _fullest(
    host: Host, subject: str, pids: list[int], table: ProcessTable, stats: dict[int, Stat], at: datetime
) -> Iterator[Limit | Gap]:
    """Yield the process that is nearest to its limit."""
    fullest: Limit | None = None
    for pid in pids[:PROCESSES]:
        try:
            used = len(host.list(f"/proc/{pid}/fd"))
            limit = parse_file_limit(host.read(f"/proc/{pid}/limits", limit_bytes=1 << 16).decode("ascii", "replace"))
        except Missing:
            continue  # it ended meanwhile
        except HostError as error:
            yield Gap(source=f"descriptors of {subject}", reason=error.reason, hint=error.hint or ALLOW)
            return
        if limit and (fullest is None or used / limit > fullest.ratio):
            since = table.started_at(stats[pid])
            fullest = Limit(kind=LimitKind.DESCRIPTORS, subject=subject, at=at, used=used, limit=limit, since=since)
    if fullest is not None:
        yield fullest


def _connections(host: Host, proxy: Proxy, workers: list[int], at: datetime) -> Iterator[Limit | Gap]:
    """Yield the connections of the fullest worker, of a gateway whose limit counts sockets."""
    if proxy.worker_connections is None or not behaviour(proxy.kind).worker_limit_counts_sockets:
        return
    most: int | None = None
    for pid in workers[:PROCESSES]:
        try:
            names = host.list(f"/proc/{pid}/fd")
        except Missing:
            continue
        except HostError as error:
            yield Gap(source="worker_connections", reason=error.reason, hint=error.hint or ALLOW)
            return
        links = host.link_all([f"/proc/{pid}/fd/{name}" for name in names[:LINKS]])
        sockets = sum(link is not None and link.startswith("socket:") for link in links) + max(0, len(names) - LINKS)
        most = sockets if most is None else max(most, sockets)
    if most is not None:
        yield Limit(
            kind=LimitKind.WORKER_CONNECTIONS, subject=f"{proxy.kind} worker", at=at, used=most, limit=proxy.worker_connections
        )
