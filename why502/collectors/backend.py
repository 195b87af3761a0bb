"""What the processes behind a target do, seen from outside: whom they are connected to, and how much they compute.

Together with the socket tables this tells apart, without asking the backend, what a proxy's timeout alone does not:

- all workers busy: it holds as many connections as it has workers, the others wait unaccepted;
- too slow: it holds all connections, none waits;
- hung or stopped: it holds none, all wait (state T: stopped);
- computing: as one of these, and it uses as many processors as it can; where it uses none, it waits for another: a database,
  a service, a lock. Its own connections say for whom.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from why502.collectors.owners import owners
from why502.host.base import Host
from why502.machine import sockets
from why502.machine.attempt import attempt
from why502.machine.process_table import TICKS_A_SECOND
from why502.machine.sockets import Socket
from why502.model.base import Value
from why502.model.errors import HostError, Missing
from why502.model.snapshot import Gap, Snapshot

_PROCESSES = 64  # that are looked at, of all targets together
_THREADS = 64
_SHOWN = 64  # kinds of connections that are kept


class Ticks(Value, frozen=True, kw_only=True):
    """Processor time that one process has used, in seconds, and when that was read."""

    used_s: float
    at_s: float


def connections(host: Host, known: Snapshot, tcp: list[Socket], gaps: list[Gap]) -> dict[str, int]:
    """Return by "target > remote state" what the processes of each target are themselves connected to."""
    by_inode = {row.inode: row for row in tcp if row.inode and row.state != sockets.LISTEN}
    listening = {_port(row) for row in tcp if row.state == sockets.LISTEN}
    peers: dict[int, str] | None = None
    counted: Counter[str] = Counter()
    for target, pid in _processes(known):
        try:
            mine = sockets.inodes(host, pid)
        except Missing:  # it ended
            continue
        except HostError as error:
            gaps.append(Gap(source=f"/proc/{pid}/fd", reason=error.reason, hint=error.hint or "run why502 as root"))
            break
        if peers is None:
            peers = attempt(partial(sockets.read_unix_peers, host)) or {}
        for inode in mine:
            row = by_inode.get(inode)
            if row and _port(row) not in listening and (remote := sockets.place(row.remote)):
                counted[f"{target} > {remote} {row.state}"] += 1
            elif path := peers.get(inode):
                counted[f"{target} > unix:{path} {sockets.ESTABLISHED}"] += 1
    return dict(counted.most_common(_SHOWN))


def ticks(host: Host, known: Snapshot) -> dict[tuple[str, int], Ticks]:
    """Return the processor time of the processes of each target, by target and number."""
    found = {}
    for target, pid in _processes(known):
        content = attempt(partial(host.read, f"/proc/{pid}/stat"))
        if content and (used_s := parse_ticks(content)) is not None:
            found[str(target), pid] = Ticks(used_s=used_s, at_s=time.monotonic())
    return found


def processors(before: dict[tuple[str, int], Ticks], after: dict[tuple[str, int], Ticks]) -> dict[str, float]:
    """Return by target how many processors its processes used between two looks; a tick is a hundredth of a second."""
    used: dict[str, float] = {}
    for key in before.keys() & after.keys():
        took_s = after[key].at_s - before[key].at_s
        if took_s > 0:
            used[key[0]] = used.get(key[0], 0.0) + (after[key].used_s - before[key].used_s) / took_s
    return {target: round(share, 2) for target, share in used.items()}


def blocked(host: Host, known: Snapshot) -> dict[str, int]:
    """Return by target how many threads of its processes wait for a device (state D of proc_pid_stat(5)); at most 64 of a process."""
    found: Counter[str] = Counter()
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


def _processes(known: Snapshot) -> list[tuple[str, int]]:
    """Return the processes to look at, each with the target that it serves; a process of several targets stands for each."""
    return [(str(target), pid) for target, pids in owners(known).items() for pid in pids][:_PROCESSES]


def _port(row: Socket) -> bytes:
    return row.local.rpartition(b":")[2]
