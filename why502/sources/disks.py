"""How full the file systems are that a proxy writes to: its logs, temporary files, caches, its pid file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from why502.host.base import Host
from why502.model.errors import HostError, Missing
from why502.model.snapshot import Disk, Gap, Proxy, Snapshot
from why502.sources.base import Ask, Found
from why502.sources.nginx_writes import written_files, written_folders

SECTION = "disks"


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[Disk, ...]]:  # noqa: ARG001
    """Return the file system of each folder that a proxy writes to, one entry for a folder."""
    disks: dict[str, Disk] = {}
    gaps: list[Gap] = []
    for proxy in known.proxies or ():
        acting = host.acting_as(proxy.owner_uid)
        seen = acting.inside(proxy.root) if proxy.root else acting
        for folder in dict.fromkeys(folders(proxy)):
            try:
                if (disk := _disk(seen, folder)) is not None:
                    disks.setdefault(proxy.root + folder, disk)
            except HostError as error:
                gaps.append(Gap(source="disks", why=error.why, allow=error.allow))
    return Found(tuple(disks.values()), tuple(gaps))


def folders(proxy: Proxy) -> Iterator[str]:
    """Yield the folders that a proxy writes to."""
    yield from (posixpath.dirname(path) for path in written_files(proxy))
    yield from written_folders(proxy)


def _disk(seen: Host, folder: str) -> Disk | None:
    """Return the file system of a folder, of the nearest folder above it where it is missing."""
    path = folder
    while path not in ("", "/"):
        try:
            space = seen.space(path)
        except Missing:
            path = posixpath.dirname(path)
            continue
        return Disk(
            path=folder,
            free_bytes=space.free_bytes,
            total_bytes=space.total_bytes,
            free_inodes=space.free_inodes,
            total_inodes=space.total_inodes,
            is_read_only=space.is_read_only,
        )
    return None
