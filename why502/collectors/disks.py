"""Free space of the file systems that a proxy writes to: logs, temporary files, caches, pid file.

Of the others, those without any space left: an application or its database may write there (/dev/shm, /tmp, a volume of its own).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

from why502.collectors.base import CollectOptions, Found
from why502.gateways.nginx.writes import written_directories, written_files
from why502.host.base import Host
from why502.machine import bound_files
from why502.machine.attempt import attempt
from why502.model.errors import HostError, Missing
from why502.model.proxy import Proxy
from why502.model.snapshot import Disk, Gap, Snapshot

SECTION = "disks"
NEEDS = ("config_test",)
LIMIT_S = 2.5
MOUNTS = 64  # that are looked at
MOUNTS_BYTES = 256 << 10
FULL, FULL_BYTES = 0.01, 1 << 20  # less than both is no space
# Local ones: a network file system may not answer at all.
KINDS = frozenset("bcachefs btrfs ext2 ext3 ext4 f2fs jfs overlay reiserfs tmpfs xfs zfs".split())
NOT_DATA = ("/proc", "/sys", "/boot", "/run/credentials", "/run/user", "/snap")


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Disk, ...]]:
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
    full = [disk for disk in _full(host) if disk.path not in disks]
    return Found((*disks.values(), *full), tuple(gaps))


def _full(host: Host) -> Iterator[Disk]:
    """Yield the file systems of this machine without any space left, by their mount points."""
    table = attempt(partial(host.read, "/proc/self/mountinfo", limit_bytes=MOUNTS_BYTES)) or b""
    mounts = bound_files.parse(table)
    local = [path for path, mount in mounts.items() if mount.kind in KINDS and not path.startswith(NOT_DATA)]
    for path in local[:MOUNTS]:
        space = attempt(partial(host.space, path))
        if space is None or space.is_read_only or not space.total_bytes:
            continue
        if space.free_bytes < min(FULL_BYTES, FULL * space.total_bytes) or (space.total_inodes and space.free_inodes == 0):
            yield Disk(
                path=path,
                free_bytes=space.free_bytes,
                total_bytes=space.total_bytes,
                free_inodes=space.free_inodes,
                total_inodes=space.total_inodes,
                is_of_proxy=False,
                owner_uid=top.uid if (top := attempt(partial(host.stat, path))) is not None else None,
            )


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
