"""File operations through an O_PATH descriptor. Each kind of host opens the descriptor in its own way."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from why502.host.base import Host, Space, Stat
from why502.host.files import LIST_LIMIT, READ_FLAGS, access_list, as_file, as_space, as_stat, content

T = TypeVar("T")


class DescriptorHost:
    """File operations shared by several kinds of hosts."""

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""

        def again(host: Host) -> bytes:
            return host.read(path, limit_bytes=limit_bytes)

        return self._look(path, lambda at: content(opened(at, path), limit_bytes), again)

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file."""
        return self._look(path, lambda at: opened(at, path), lambda host: host.open(path))

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; of a huge directory only some."""
        return self._look(path, names, lambda host: host.list(path))

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return the result of stat(2) (or lstat(2))."""
        return self._look(path, lambda at: as_stat(os.fstat(at)), lambda host: host.stat(path, follow=follow), follow=follow)

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        return self._look(path, lambda at: os.readlink("", dir_fd=at), lambda host: host.link(path), follow=False)

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list with numeric ids."""
        return self._look(path, lambda at: access_list(f"/proc/self/fd/{at}"), lambda host: host.acl(path))

    def space(self, path: str) -> Space:
        """Return the free space of a path's file system."""
        return self._look(path, lambda at: as_space(os.fstatvfs(at)), lambda host: host.space(path))

    @abstractmethod
    def _look(self, path: str, call: Callable[[int], T], again: Callable[[Host], T], *, follow: bool = True) -> T:
        """Return the result of `call` for an O_PATH descriptor of a path. `again` does the same operation on another host."""


def opened(at: int, path: str) -> BinaryIO:
    """Return a stream of the regular file behind a descriptor. Raises HostError for any other kind of file, without
    opening it.
    """
    return as_file(_reopened(at), path)


def names(at: int) -> list[str]:
    """Return the names in the directory of a descriptor, sorted; of a huge directory only some."""
    descriptor = _reopened(at, os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(LIST_LIMIT), strict=False))
    finally:
        os.close(descriptor)


def _reopened(at: int, flags: int = 0) -> int:
    """Return a readable descriptor of the file behind an O_PATH descriptor (open(2), O_PATH)."""
    return os.open(f"/proc/self/fd/{at}", READ_FLAGS | flags)
