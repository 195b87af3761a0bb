"""Shortage of CPU, memory and disk throughput on the machine, and how close each backend's cgroup is to its limits.

Documentation/accounting/psi.rst, proc_stat(5), proc_meminfo(5), proc_vmstat(5), Documentation/admin-guide/iostats.rst.
PSI gives the share of time that tasks waited, over the last 10 and 60 seconds: the greater of the two is kept. Counters since
boot are read twice, a moment apart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import owners
from why502.host.base import Host
from why502.machine import cgroups
from why502.machine.attempt import attempt
from why502.machine.cgroups import Group
from why502.machine.process_table import parse_cgroup
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.snapshot import Gap, Pressure, Snapshot

SECTION = "pressure"
NEEDS = ("processes",)
LIMIT_S = 2.5
_LOOK_S = 0.1
_GROUPS = 16
_PAGE_BYTES = 4096
_AVERAGE = lazy(r"avg(?:10|60)=(\d+(?:\.\d+)?)")
_TOTAL = lazy(r"total=(\d{1,18})\b")
_PARTITION = lazy(r"(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+)\d+|(?:nvme\d+n\d+|mmcblk\d+)p\d+|(?:loop|ram|zram|sr|dm-|md)\d+")


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since boot: processor ticks in total, idle and stolen, pages swapped, busy milliseconds of each disk, and the
    microseconds in which some task waited for a disk.
    """

    total: int
    idle: int
    steal: int
    swapped: int | None
    disks: Mapping[str, int]
    waited: int | None


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Pressure, ...]]:
    """Return the pressure on the machine, and on the cgroup of every process that owns a target."""
    gaps: list[Gap] = []
    mounts = cgroups.parse_mounts(attempt(partial(host.read, "/proc/self/mountinfo")) or b"")
    paths = _paths(host, known)
    read = partial(cgroups.read, host, mounts=mounts)
    began, before, groups = time.monotonic(), _counters(host), {scope: read(paths=path) for scope, path in paths.items()}
    time.sleep(_LOOK_S)
    took_s, after = time.monotonic() - began, _counters(host)
    if before is None or after is None:
        gaps.append(Gap(source="/proc/stat", reason="the machine's load could not be read"))
        machine = None
    else:
        machine = _machine(host, before, after, took_s)
    if owners(known) and not mounts:
        gaps.append(
            Gap(source="/proc/self/mountinfo", reason="no control groups are mounted, so the limits of the backend are unknown")
        )
    found = (_pressure(scope, group, read(paths=paths[scope]), began) for scope, group in groups.items())
    limited = tuple(one for one in found if one.scope != "/" or one.memory_limit_bytes or one.cpu_quota)
    return Found((machine, *limited) if machine else limited or None, tuple(gaps))


def parse_psi(content: bytes) -> float | None:
    """Return the share (0...1) of time that some task waited; None if the kernel does not report it."""
    some = _some(content)
    return None if some is None else max((round(float(value) / 100, 4) for value in _AVERAGE.findall(some)), default=0.0)


def parse_psi_total(content: bytes) -> int | None:
    """Return the microseconds since boot in which some task waited; None if the kernel does not report them."""
    found = _TOTAL.search(_some(content) or "")
    return int(found[1]) if found else None


def _some(content: bytes) -> str | None:
    """Return the rest of the line about some task, not all of them."""
    lines = (line.partition(" ") for line in content.decode("ascii", "replace").splitlines())
    return next((rest for kind, _, rest in lines if kind == "some"), None)


def parse_stat(content: bytes) -> tuple[int, int, int] | None:
    """Return total, idle (including waits for disks) and stolen ticks from the first line of /proc/stat."""
    words = content.partition(b"\n")[0].split()
    if len(words) < 5 or words[0] != b"cpu" or not all(word.isdigit() for word in words[1:]):
        return None
    ticks = [int(word) for word in words[1:9]]  # user time already includes guest time
    return sum(ticks), sum(ticks[3:5]), ticks[7] if len(ticks) > 7 else 0


def parse_meminfo(content: bytes) -> dict[str, int]:
    """Return the sizes of /proc/meminfo in bytes."""
    rows = (line.split() for line in content.decode("ascii", "replace").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3 and row[1].isdecimal()}


def parse_diskstats(content: bytes) -> dict[str, int]:
    """Return the busy milliseconds of each whole disk (field 10 of iostats), without partitions and stacked devices."""
    rows = (line.split() for line in content.decode("ascii", "replace").splitlines())
    return {row[2]: int(row[12]) for row in rows if len(row) > 12 and row[12].isdecimal() and not _PARTITION.fullmatch(row[2])}


def _counters(host: Host) -> Counters | None:
    try:
        stat = parse_stat(host.read("/proc/stat"))
    except HostError:
        return None
    if stat is None:
        return None
    memory = cgroups.parse_table(attempt(partial(host.read, "/proc/vmstat")) or b"")
    swapped = memory["pswpin"] + memory["pswpout"] if {"pswpin", "pswpout"} <= memory.keys() else None
    disks = parse_diskstats(attempt(partial(host.read, "/proc/diskstats")) or b"")
    return Counters(*stat, swapped, disks, parse_psi_total(attempt(partial(host.read, "/proc/pressure/io")) or b""))


def _machine(host: Host, before: Counters, after: Counters, took_s: float) -> Pressure:
    text = {name: attempt(partial(host.read, f"/proc/{name}")) or b"" for name in ("stat", "meminfo")}
    psi = {name: parse_psi(attempt(partial(host.read, f"/proc/pressure/{name}")) or b"") for name in ("cpu", "memory", "io")}
    memory = parse_meminfo(text["meminfo"])
    stat = cgroups.parse_table(text["stat"])
    ticks = after.total - before.total
    busy = {name: (worked - before.disks.get(name, worked)) / 1000 / took_s for name, worked in after.disks.items()}
    disk = max(busy, key=lambda name: busy[name], default="")
    return Pressure(
        cpu_some=psi["cpu"],
        memory_some=psi["memory"],
        io_some=psi["io"],
        io_now=_waited(before.waited, after.waited, took_s),
        cpus=len(re.findall(rb"^cpu\d+ ", text["stat"], re.MULTILINE)) or None,
        running=stat.get("procs_running"),
        steal=_share(after.steal - before.steal, ticks),
        cpu_busy=_share(ticks - (after.idle - before.idle), ticks),
        memory_available_bytes=_available(memory),
        swapped_bytes_s=_swapped(before, after, took_s),
        disk=disk,
        disk_busy=min(1.0, busy[disk]) if disk else None,
    )


def _pressure(scope: str, before: Group, now: Group, began_s: float) -> Pressure:
    took_s = time.monotonic() - began_s
    psi = {name: parse_psi(now.pressure.get(name, b"")) for name in ("cpu", "memory", "io")}
    periods = (now.periods or 0) - (before.periods or 0)
    limit, used = now.memory_limit, now.memory_used
    return Pressure(
        scope=scope,
        cpu_some=psi["cpu"],
        memory_some=psi["memory"],
        io_some=psi["io"],
        io_now=_waited(_io_total(before), _io_total(now), took_s),
        cpu_quota=now.quota,
        throttled=_share(now.throttled or 0, now.periods) if now.periods is not None else None,
        throttled_now=_share((now.throttled or 0) - (before.throttled or 0), periods) if now.periods is not None else None,
        memory_limit_bytes=limit,
        memory_available_bytes=max(0, limit - used) if limit is not None and used is not None else None,
        memory_limit_hits=now.limit_hits,
    )


def _io_total(group: Group) -> int | None:
    return parse_psi_total(group.pressure.get("io", b""))


def _paths(host: Host, known: Snapshot) -> dict[str, dict[str, str]]:
    """Return the cgroups of the targets' owners, by the path in Process.cgroup."""
    found: dict[str, dict[str, str]] = {}
    for pid in dict.fromkeys(pid for pids in owners(known).values() for pid in pids):
        content = attempt(partial(host.read, f"/proc/{pid}/cgroup", limit_bytes=1 << 16))
        if content and len(found) < _GROUPS and (scope := parse_cgroup(content.decode("utf-8", "replace"))[0]):
            found.setdefault(scope, cgroups.parse_paths(content))
    return found


def _available(memory: dict[str, int]) -> int | None:
    """Return MemAvailable; kernels before 3.14 lack it, so it is estimated."""
    if "MemAvailable" in memory or "MemFree" not in memory:
        return memory.get("MemAvailable")
    return memory["MemFree"] + memory.get("Buffers", 0) + memory.get("Cached", 0)


def _swapped(before: Counters, after: Counters, took_s: float) -> float | None:
    if before.swapped is None or after.swapped is None:
        return None
    return (after.swapped - before.swapped) * _PAGE_BYTES / took_s


def _waited(before_us: int | None, after_us: int | None, took_s: float) -> float | None:
    """Return the share of the time between two readings in which some task waited; None if it was not measured."""
    if before_us is None or after_us is None:
        return None
    return max(0.0, min(1.0, (after_us - before_us) / 1e6 / took_s))


def _share(part: int, whole: int) -> float:
    return max(0.0, min(1.0, part / whole)) if whole > 0 else 0.0
