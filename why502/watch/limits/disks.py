"""Space and inodes of the file systems that the proxies write to: logs, temporary files, caches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.collectors import disks
from why502.collectors.base import CollectOptions
from why502.host.base import Host
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the use of each file system, once, under the first directory on it."""
    found = disks.collect(host, known, CollectOptions(probes=False))
    yield from found.gaps
    seen: set[tuple[int, int, int | None]] = set()
    for disk in sorted(found.value or (), key=lambda one: one.path):
        same = (disk.total_bytes, disk.free_bytes, disk.free_inodes)  # two paths to one file system say exactly the same
        if same in seen or disk.total_bytes <= 0:
            continue
        seen.add(same)
        used = disk.total_bytes - disk.free_bytes
        yield Limit(kind=LimitKind.DISK, subject=disk.path, at=at, used=used, limit=disk.total_bytes)
        if disk.total_inodes and disk.free_inodes is not None:
            inodes = disk.total_inodes - disk.free_inodes
            yield Limit(kind=LimitKind.DISK, subject=f"{disk.path} (inodes)", at=at, used=inodes, limit=disk.total_inodes)
