"""The activity of the processes behind a target: their CPU time, and whether they wait for a device.

A proxy's timeout alone does not show why a backend is slow. Together with the socket tables this distinguishes, without a
request:

- all workers busy: it holds as many connections as it has workers, the others wait unaccepted;
- too slow: it holds all connections, none waits;
- hung or stopped: it holds none, all wait (state T: stopped);
- computing: like one of these, with full use of its processors; if it uses none, it waits for a database, a service or a lock.
  `dependencies` shows which.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from why502.collectors.owners import owners
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import TICKS_A_SECOND
from why502.model.base import Value
from why502.model.snapshot import Snapshot
from why502.model.target import Target

_PROCESSES = 64  # maximum processes examined, of all targets together
_THREADS = 64


class Ticks(Value, frozen=True, kw_only=True):
    """CPU time used by one process, in seconds, and when it was read. `waited_s`: how long its main thread waited for a processor
    that others used; None if the kernel does not count it.
    """

    used_s: float
    at_s: float
    waited_s: float | None = None


def ticks(host: Host, known: Snapshot) -> dict[tuple[Target, int], Ticks]:
    """Return the processor time of each target's processes, by target and pid."""
    found = {}
    for target, pid in _processes(known):
        content = attempt(partial(host.read, f"/proc/{pid}/stat"))
        if content and (used_s := parse_ticks(content)) is not None:
            at_s = time.monotonic()
            waits = (attempt(partial(host.read, f"/proc/{pid}/schedstat", limit_bytes=4096)) or b"").split()
            waited_s = int(waits[1]) / 1e9 if len(waits) == 3 and waits[1].isdigit() else None  # proc(5): in nanoseconds
            found[target, pid] = Ticks(used_s=used_s, at_s=at_s, waited_s=waited_s)
    return found


def processors(before: dict[tuple[Target, int], Ticks], after: dict[tuple[Target, int], Ticks]) -> dict[Target, float]:
    """Return by target how many processors its processes used between two readings; a tick is a hundredth of a second."""
    used: dict[Target, float] = {}
    for key in before.keys() & after.keys():
        took_s = after[key].at_s - before[key].at_s
        if took_s > 0:
            used[key[0]] = used.get(key[0], 0.0) + (after[key].used_s - before[key].used_s) / took_s
    return {target: round(share, 2) for target, share in used.items()}


def kept_waiting(before: dict[tuple[Target, int], Ticks], after: dict[tuple[Target, int], Ticks]) -> dict[Target, float]:
    """Return by target the share of the time between two readings that the main threads of its processes waited for a processor,
    added up; without the targets of which that is unknown.
    """
    shares: dict[Target, float] = {}
    for key in before.keys() & after.keys():
        old, new = before[key], after[key]
        if new.at_s > old.at_s and old.waited_s is not None and new.waited_s is not None:
            shares[key[0]] = shares.get(key[0], 0.0) + (new.waited_s - old.waited_s) / (new.at_s - old.at_s)
    return {target: round(share, 2) for target, share in shares.items()}


def blocked(host: Host, known: Snapshot) -> dict[Target, int]:
    """Return by target how many threads of its processes wait for a device (state D of proc_pid_stat(5)); at most 64 per
    process.
    """
    found: Counter[Target] = Counter()
    for target, pid in _processes(known):
        for thread in (attempt(partial(host.list, f"/proc/{pid}/task")) or [])[:_THREADS]:
            content = attempt(partial(host.read, f"/proc/{pid}/task/{thread}/stat", limit_bytes=4096)) or b""
            found[target] += content.rpartition(b")")[2][:2] == b" D"
    return {target: count for target, count in found.items() if count}


def parse_ticks(content: bytes) -> float | None:
    """Return the seconds of processor time, user and system, in /proc/PID/stat (fields 14 and 15)."""
    fields = content.rpartition(b")")[2].split()
    if len(fields) < 13 or not (fields[11].isdigit() and fields[12].isdigit()):
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _processes(known: Snapshot) -> list[tuple[Target, int]]:
    """Return the processes to examine, each with its target; a process of several targets appears once for each."""
    return [(target, pid) for target, pids in owners(known).items() for pid in pids][:_PROCESSES]
