"""Free space of the file systems that a proxy writes to: logs, temporary files, caches, pid file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from why502.collectors.base import Ask, Found
from why502.gateways.nginx.writes import written_directories, written_files
from why502.host.base import Host
from why502.model.errors import HostError, Missing
from why502.model.snapshot import Disk, Gap, Proxy, Snapshot

SECTION = "disks"
NEEDS = ("config_test",)
LIMIT_S = 2.5


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[Disk, ...]]:
    """Return the file system of each directory that a proxy writes to, one entry per directory."""
    disks: dict[str, Disk] = {}
    gaps: list[Gap] = []
    for proxy in known.proxies or ():
        acting = host.acting_as(proxy.owner_uid)
        seen = acting.inside(proxy.root) if proxy.root else acting
        for directory in dict.fromkeys(directories(proxy)):
            try:
                if (disk := _disk(seen, directory)) is not None:
                    disks.setdefault(proxy.root + directory, disk)
            except HostError as error:
                gaps.append(Gap(source="disks", reason=error.reason, hint=error.hint))
    return Found(tuple(disks.values()), tuple(gaps))


def directories(proxy: Proxy) -> Iterator[str]:
    """Yield the directories that a proxy writes to."""
    yield from (posixpath.dirname(path) for path in written_files(proxy))
    yield from written_directories(proxy)


def _disk(seen: Host, directory: str) -> Disk | None:
    """Return the file system of a directory, or of its nearest existing parent."""
    path = directory
    while path not in ("", "/"):
        try:
            space = seen.space(path)
        except Missing:
            path = posixpath.dirname(path)
            continue
        return Disk(
            path=directory,
            free_bytes=space.free_bytes,
            total_bytes=space.total_bytes,
            free_inodes=space.free_inodes,
            total_inodes=space.total_inodes,
            is_read_only=space.is_read_only,
        )
    return None
