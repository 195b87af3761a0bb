"""Memory: of the machine, and of the control group of each backend against the tightest limit above it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from why502.collectors.owners import owners
from why502.collectors.pressure import parse_meminfo
from why502.host.base import Host
from why502.machine import cgroups
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0
GROUPS = 64
PIDS = 64  # of one control group, those whose start is read


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the memory in use of the machine and of each limited control group that a target's process is in."""
    yield from _machine(host, at)
    groups = _groups(known)
    if not groups:
        return
    mounts = cgroups.parse_mounts(host.read("/proc/self/mountinfo"))
    key = "memory" if any("memory" in mount.controllers for mount in mounts) else ""
    for path, process in list(groups.items())[:GROUPS]:
        subject = process.unit or process.container[:12] or path
        where = cgroups.directories("memory", {key: path}, mounts)
        if not where:
            yield Gap(source=f"memory of {subject}", reason=f"its control group {path} is not visible")
            continue
        group = cgroups.read(host, {key: path}, mounts)
        if group.memory_limit is None:
            continue
        if group.memory_used is None:
            yield Gap(source=f"memory of {subject}", reason=f"{where[0]} cannot be read")
            continue
        yield Limit(
            kind=LimitKind.MEMORY,
            subject=subject,
            at=at,
            used=group.memory_used,
            limit=group.memory_limit,
            since=_started(host, where[0]),
        )


def _machine(host: Host, at: datetime) -> Iterator[Limit | Gap]:
    sizes = parse_meminfo(host.read("/proc/meminfo"))
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if total and available is not None:
        yield Limit(kind=LimitKind.MEMORY, subject="machine", at=at, used=max(0, total - available), limit=total)
    else:
        yield Gap(source="memory of the machine", reason="/proc/meminfo does not state MemAvailable")


def _groups(known: Snapshot) -> dict[str, Process]:
    """Return the control groups of the targets' processes, each with one of its processes."""
    pids = {pid for found in owners(known).values() for pid in found}
    found: dict[str, Process] = {}
    for process in known.processes or ():
        if process.pid in pids and not process.is_init and process.cgroup not in ("", "/"):
            found.setdefault(process.cgroup, process)
    return found


def _started(host: Host, directory: str) -> datetime | None:
    """Return when the oldest process of a control group started; None if that cannot be read."""
    content = attempt(partial(host.read, f"{directory}/cgroup.procs", limit_bytes=1 << 16)) or b""
    table = ProcessTable(host)
    stats = (attempt(partial(table.stat, int(word))) for word in content.split()[:PIDS] if word.isdigit())
    try:
        return min((start for stat in stats if stat and (start := table.started_at(stat))), default=None)
    except HostError:
        return None
