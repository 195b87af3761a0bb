"""The relevant processes: those that listen, the proxies, and the parents and children of both."""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.host.base import Host
from why502.machine.attempt import attempt, each
from why502.machine.containers import container_of
from why502.machine.process_table import ProcessTable, Stat
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.snapshot import Gap, Snapshot

SECTION = "processes"
NEEDS = ("networks", "socket_names")
LIMIT_S = 2.5
ABOVE = 3  # generations of parents: application, its shell or master, its manager
CHILDREN = 64  # maximum children of one process that are read; all are counted
PROCESSES = 512


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Process, ...]]:
    """Return the processes around every listener and proxy, by pid. Raises HostError."""
    table = ProcessTable(host)
    stats = table.stats()
    wanted = _around(known, stats)
    counts = Counter(stat.ppid for stat in stats.values())
    gaps: list[Gap] = []

    names = {space.container: space.name for space in known.networks or ()}

    def look(pid: int) -> tuple[Process, ...]:
        process = attempt(partial(table.process, pid, children=counts[pid]))
        if process is None:
            return ()
        if (container := process.container) and container not in names:
            names[container] = container_of(host, table, pid, container, process.cgroup).words
        return (msgspec.structs.replace(process, container_name=names.get(container, "")),)

    def missed(pid: int, reason: str, hint: str) -> None:
        gaps.append(Gap(source=f"process {pid}", reason=reason, hint=hint))

    found = tuple(each(sorted(wanted[:PROCESSES]), look, missed))
    return Found(found, (*gaps, *_gaps(host, found, len(wanted))))


def _around(known: Snapshot, stats: dict[int, Stat]) -> list[int]:
    """Return the owners of listeners first, then proxies, then parents except pid 1, then children."""
    owners = [pid for listener in known.listeners or () for pid in listener.pids]
    owners += [pid for proxy in known.proxies or () for pid in proxy.pids]
    parents: list[int] = []
    for pid in owners:
        above = pid
        for _ in range(ABOVE):
            if (stat := stats.get(above)) is None or stat.ppid <= 1:
                break
            above = stat.ppid
            parents.append(above)
    children: list[int] = []
    taken: Counter[int] = Counter()
    of_interest = set(owners)
    for pid, stat in stats.items():
        if stat.ppid in of_interest and taken[stat.ppid] < CHILDREN:
            taken[stat.ppid] += 1
            children.append(pid)
    return [pid for pid in dict.fromkeys((*owners, *parents, *children)) if pid in stats]


def _gaps(host: Host, found: tuple[Process, ...], wanted: int) -> list[Gap]:
    gaps = []
    if wanted > PROCESSES:
        gaps.append(Gap(source="processes", reason=f"only {PROCESSES} of {wanted} processes were examined"))
    unreadable = sum(1 for process in found if process.limits is None or process.limits.files_open is None)
    if unreadable:
        gaps.append(
            Gap(
                source="processes",
                reason=f"descriptors and directories of {unreadable} processes are not visible",
                hint="run as root",
            )
        )
    try:
        host.read("/proc/1/stat", limit_bytes=1)
    except HostError:
        gaps.append(Gap(source="processes", reason="/proc hides the processes of other users", hint="run as root"))
    return gaps
