"""A host with only the files the user gave: `--offline`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from why502.host.base import Connection, Finished, Host, Sandbox, SocketTable, Space, Stat
from why502.host.many import link_all, read_all
from why502.model.errors import HostError
from why502.model.network import Network
from why502.model.target import Target


class OfflineHost:
    """A Host with only the given files, their directories and everything below those."""

    def __init__(self, behind: Host, files: Iterable[str] = ()) -> None:
        self.name = behind.name
        self._behind = behind
        self._files = frozenset(files)
        self._directories = tuple(posixpath.dirname(file).rstrip("/") + "/" for file in self._files)

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        return self._for(path).read(path, limit_bytes=limit_bytes)

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file."""
        return self._for(path).open(path)

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return self._for(path.rstrip("/") + "/").list(path)

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return the result of stat(2) (or lstat(2))."""
        return self._for(path).stat(path, follow=follow)

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        return self._for(path).link(path)

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list with numeric ids."""
        return self._for(path).acl(path)

    def space(self, path: str) -> Space:
        """Raise HostError: free disk space is unrelated to the given files."""
        raise _refusal(path)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        raise _refusal(argv[0])

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        raise _refusal(argv[0])

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Raise HostError."""
        raise _refusal(str(target))

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files; None for one that cannot be read."""
        return read_all(self, paths, limit_bytes)

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links; None for one that cannot be read."""
        return link_all(self, paths)

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Raise HostError."""
        raise _refusal("sockets")

    def holders(
        self,
        inodes: frozenset[int],
        pids: Sequence[int],
        *,
        timeout_s: float = 1.5,
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Raise HostError."""
        raise _refusal("/proc")

    def inside(self, root: str) -> Host:
        """Raise HostError."""
        raise _refusal(root)

    def acting_as(self, uid: int) -> Host:
        """Return this host: it reads only files that the user named."""
        return self

    def supplier(self, path: str) -> int:
        """Return 0: the user named the files."""
        return 0

    def _for(self, path: str) -> Host:
        plain = posixpath.normpath(path) + ("/" if path.endswith("/") else "")
        if plain in self._files or (plain.startswith(self._directories) and "/../" not in path):
            return self._behind
        raise _refusal(path)


def _refusal(what: str) -> HostError:
    return HostError(f"{what}: not checked: --offline", "run it without --offline")
