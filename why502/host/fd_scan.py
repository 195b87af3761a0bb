"""Finds the processes that hold a socket by the links in /proc/PID/fd (proc_pid_fd(5)); the kernel has no faster way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from why502.host.bounded import bounded
from why502.model.errors import Expired

DESCRIPTORS = 20_000  # per process, from the lowest number: a server opens its listening sockets first
_PART = 256  # processes per batch
_PREFIX = "socket:["


def holders(inodes: frozenset[int], pids: Sequence[int], timeout_s: float) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the processes that hold each of the sockets, as far as visible, and the number of processes skipped.

    Users take turns, so one user with thousands of processes cannot use up the time of all others.
    """
    wanted = frozenset(f"{_PREFIX}{inode}]" for inode in inodes)
    found: dict[int, list[int]] = {}
    until = time.monotonic() + timeout_s
    order = _in_turns(pids) if len(pids) > _PART else list(pids)
    for start in range(0, len(order), _PART):
        left_s = until - time.monotonic()
        if left_s <= 0:
            return _sorted(found), len(order) - start
        done: list[tuple[int, int]] = []
        try:
            bounded(left_s + 0.1, _scan, order[start : start + _PART], wanted, until, done)
        except Expired:
            pass
        for pid, inode in done[:]:
            found.setdefault(inode, []).append(pid)
    return _sorted(found), 0


def _sorted(found: dict[int, list[int]]) -> dict[int, tuple[int, ...]]:
    return {inode: tuple(sorted(set(pids))) for inode, pids in found.items()}


def _in_turns(pids: Sequence[int]) -> list[int]:
    """Return the processes in turns: the first of each user, then the second of each, and so on."""
    by_user: dict[int, list[int]] = {}
    for pid in pids:
        try:
            by_user.setdefault(os.stat(f"/proc/{pid}").st_uid, []).append(pid)
        except OSError:
            continue
    return [pid for _, pid in sorted((place, pid) for each in by_user.values() for place, pid in enumerate(each))]


def _scan(pids: Sequence[int], wanted: frozenset[str], until: float, done: list[tuple[int, int]]) -> None:
    for pid in pids:
        if time.monotonic() > until:
            return
        done.extend((pid, int(link[len(_PREFIX) : -1])) for link in _links(f"/proc/{pid}/fd") if link in wanted)


def _links(directory: str) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names[:DESCRIPTORS]:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:
            continue
