"""The memory of an application's processes, and the limits of its control group."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from why502.host.base import Host
from why502.machine import cgroups
from why502.machine.cgroups import Group
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.snapshot import Snapshot

_PSS = lazy(rb"^Pss:\s+(\d{1,15}) kB", re.MULTILINE)
_RSS = lazy(rb"^VmRSS:\s+(\d{1,15}) kB", re.MULTILINE)
_PEAK = lazy(rb"^VmHWM:\s+(\d{1,15}) kB", re.MULTILINE)
_MOST_PROCESSES = 256
_FULL = 2  # times the peak: what a unit may use before it alone is restarted
MIB = 1 << 20
_STEP = 16 * MIB
_LEAST = 256 * MIB  # a program that has just been started shows little of what it needs


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of some processes. `sizes`: bytes by pid, shared pages counted proportionally; `peak`: the sum of the peaks."""

    sizes: dict[int, int]
    peak: int

    @property
    def largest(self) -> tuple[int, int]:
        """The pid of the largest process, and its bytes."""
        return max(self.sizes.items(), key=lambda pair: pair[1])

    @property
    def limit(self) -> int:
        """The bytes that they should never need together: twice their peak, in steps of 16 MiB, and not below 256 MiB."""
        return max(_LEAST, math.ceil(_FULL * self.peak / _STEP) * _STEP)

    @property
    def words(self) -> str:
        """The memory in words."""
        pid, size = self.largest
        if len(self.sizes) == 1:
            return f"pid {pid} takes {size // MIB} MiB, {self.peak // MIB} MiB at its peak"
        total = sum(self.sizes.values())
        return (
            f"{len(self.sizes)} processes take {total // MIB} MiB, {self.peak // MIB} MiB at their peaks; "
            f"the largest, pid {pid}, takes {size // MIB} MiB"
        )


def family(snapshot: Snapshot, process: Process) -> tuple[Process, ...]:
    """Return a process with its master and the other workers of that."""
    processes = {one.pid: one for one in snapshot.processes or ()}
    parent = processes.get(process.ppid)
    master = parent if parent and not parent.is_init and parent.name == process.name else process
    found, pids = [master], {master.pid}
    for one in sorted(processes.values(), key=lambda one: one.started_at.timestamp() if one.started_at else 0.0):
        if one.ppid in pids and one.pid not in pids and len(found) < _MOST_PROCESSES:
            found.append(one)
            pids.add(one.pid)
    return tuple(found)


def workers(processes: tuple[Process, ...]) -> tuple[Process, ...]:
    """Return those of a family that serve requests: the children of the master, or the master alone."""
    master, *children = processes
    return tuple(child for child in children if child.ppid == master.pid) or (master,)


def memory(host: Host, processes: tuple[Process, ...]) -> Memory | None:
    """Return the memory of processes (proc_pid_smaps(5), proc_pid_status(5)); None if nothing can be read."""
    sizes, peak = {}, 0
    for process in processes:
        status = _read(host, process.pid, "status")
        size = _first(_PSS, _read(host, process.pid, "smaps_rollup")) or _first(_RSS, status)
        if size:
            sizes[process.pid] = size
            peak += max(size, _first(_PEAK, status))
    return Memory(sizes, peak) if sizes else None


def limits(host: Host, pid: int) -> Group:
    """Return the limits of a process's control group; empty ones if they cannot be read."""
    try:
        mounts = cgroups.parse_mounts(host.read("/proc/self/mountinfo"))
        return cgroups.read(host, cgroups.parse_paths(host.read(f"/proc/{pid}/cgroup")), mounts)
    except HostError:
        return Group()


def _read(host: Host, pid: int, name: str) -> bytes:
    try:
        return host.read(f"/proc/{pid}/{name}", limit_bytes=1 << 16)
    except HostError:
        return b""


def _first(pattern: re.Pattern[bytes], text: bytes) -> int:
    """Return a size in bytes from a line in kB; 0 if there is none."""
    match = pattern.search(text)
    return int(match[1]) << 10 if match else 0
