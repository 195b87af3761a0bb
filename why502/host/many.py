"""Bulk operations as single calls, for hosts without a faster way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from why502.model.errors import HostError


class Files(Protocol):
    """The part of a Host that is needed here."""

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the names in a directory."""
        ...

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        ...


def read_all(host: Files, paths: Sequence[str], limit_bytes: int) -> tuple[bytes | None, ...]:
    """Return the contents of the files in order; None for one that cannot be read."""
    found: list[bytes | None] = []
    for path in paths:
        try:
            found.append(host.read(path, limit_bytes=limit_bytes))
        except HostError:
            found.append(None)
    return tuple(found)


def link_all(host: Files, paths: Sequence[str]) -> tuple[str | None, ...]:
    """Return the targets of the symbolic links in order; None for one that cannot be read."""
    found: list[str | None] = []
    for path in paths:
        try:
            found.append(host.link(path))
        except HostError:
            found.append(None)
    return tuple(found)


def holders(host: Files, inodes: frozenset[int], pids: Sequence[int], timeout_s: float) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the processes that hold each of the sockets, and how many were skipped for lack of time."""
    until = time.monotonic() + timeout_s
    found: dict[int, dict[int, None]] = {}
    for place, pid in enumerate(pids):
        if time.monotonic() > until:
            return {inode: tuple(held) for inode, held in found.items()}, len(pids) - place
        try:
            names = host.list(f"/proc/{pid}/fd")
        except HostError:
            continue
        for link in link_all(host, [f"/proc/{pid}/fd/{name}" for name in names]):
            if link and link.startswith("socket:[") and link[8:-1].isdigit() and (inode := int(link[8:-1])) in inodes:
                found.setdefault(inode, {})[pid] = None
    return {inode: tuple(held) for inode, held in found.items()}, 0
