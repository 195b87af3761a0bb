"""Standard input or another pipe as a file of the machine, at the path `-` or its own path."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import BinaryIO

from why502.host.base import Connection, Finished, Host, Sandbox, SocketTable, Space, Stat
from why502.host.files import as_stat
from why502.model.network import Network
from why502.model.target import Target

INPUT = "-"


class WithInput:
    """A Host with an additional file `path`: the content of a stream, kept in an unnamed temporary file until this object is
    closed.
    """

    def __init__(self, behind: Host, stream: BinaryIO, path: str = INPUT) -> None:
        self.name = behind.name
        self._behind = behind
        self._path = path
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as we
        shutil.copyfileobj(stream, self._file)
        self._file.flush()

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        if path != self._path:
            return self._behind.read(path, limit_bytes=limit_bytes)
        with self.open(path) as file:
            return file.read(limit_bytes)

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file, with a position of its own."""
        return open(f"/proc/self/fd/{self._file.fileno()}", "rb") if path == self._path else self._behind.open(path)

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return self._behind.list(path)

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return the result of stat(2) (or lstat(2))."""
        return as_stat(os.fstat(self._file.fileno())) if path == self._path else self._behind.stat(path, follow=follow)

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        return self._behind.link(path)

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list with numeric ids."""
        return self._behind.acl(path)

    def space(self, path: str) -> Space:
        """Return the free space of a path's file system."""
        return self._behind.space(path)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program."""
        return self._behind.run(*argv, timeout_s=timeout_s)

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program without side effects."""
        return self._behind.try_out(sandbox, *argv, timeout_s=timeout_s)

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Open a connection."""
        return self._behind.connect(target, timeout_s=timeout_s, network_of=network_of, datagrams=datagrams)

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files of the machine; None for one that cannot be read."""
        return self._behind.read_all(paths, limit_bytes=limit_bytes)

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links; None for one that cannot be read."""
        return self._behind.link_all(paths)

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Return the kernel's listening sockets."""
        return self._behind.sockets(*pids, connected=connected)

    def holders(
        self, inodes: frozenset[int], pids: Sequence[int], *, timeout_s: float = 1.5
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the processes that hold each of the sockets, and how many were skipped for lack of time."""
        return self._behind.holders(inodes, pids, timeout_s=timeout_s)

    def inside(self, root: str) -> Host:
        """Return a host for the tree below another root directory."""
        return self._behind.inside(root)

    def acting_as(self, uid: int) -> Host:
        """Return this machine limited to a user's rights."""
        behind = self._behind.acting_as(uid)
        return self if behind is self._behind else behind

    def supplier(self, path: str) -> int:
        """Return the user who controls a file's content; the content of the stream is ours."""
        return 0 if path == self._path else self._behind.supplier(path)
