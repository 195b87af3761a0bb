"""Shared memory: the file system of POSIX shared memory, and System V segments and semaphores (shm_overview(7), svipc(7)).

A proxy that is killed leaves its segments and semaphores behind; when they are used up, it does not start any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.host.base import Host
from why502.model.errors import Missing
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0
TABLES = {  # of each: the table, the setting with its limit, and which number of that
    "System V segments": ("/proc/sysvipc/shm", "/proc/sys/kernel/shmmni", 0),
    "System V semaphores": ("/proc/sysvipc/sem", "/proc/sys/kernel/sem", 3),
}


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:  # noqa: ARG001 - every sampler is called alike
    """Yield the use of /dev/shm, and of the tables of segments and semaphores."""
    try:
        space = host.space("/dev/shm")
    except Missing:
        space = None
    if space is not None and space.total_bytes > 0:
        used = space.total_bytes - space.free_bytes
        yield Limit(kind=LimitKind.SHARED_MEMORY, subject="/dev/shm", at=at, used=used, limit=space.total_bytes)
    for subject, (table, setting, number) in TABLES.items():
        try:
            rows = host.read(table).count(b"\n") - 1  # the first line is the head
            limits = host.read(setting, limit_bytes=4096).split()
        except Missing:  # a kernel without them
            continue
        if len(limits) > number and limits[number].isdigit() and int(limits[number]) > 0:
            yield Limit(kind=LimitKind.SHARED_MEMORY, subject=subject, at=at, used=max(0, rows), limit=int(limits[number]))
        else:
            yield Gap(source=subject, reason=f"{setting} does not match proc(5)")
