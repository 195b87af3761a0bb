"""A host for machines known only from a snapshot: a bundle can never cause a read or an action on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, NoReturn

from why502.host.base import Connection, Finished, Host, Sandbox, SocketTable, Space, Stat
from why502.model.errors import HostError
from why502.model.network import Network
from why502.model.target import Target


class NowhereHost:
    """A Host that refuses everything."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Raise HostError."""
        self._refuse(path)

    def open(self, path: str) -> BinaryIO:
        """Raise HostError."""
        self._refuse(path)

    def list(self, path: str) -> list[str]:
        """Raise HostError."""
        self._refuse(path)

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Raise HostError."""
        self._refuse(path)

    def link(self, path: str) -> str:
        """Raise HostError."""
        self._refuse(path)

    def acl(self, path: str) -> tuple[str, ...]:
        """Raise HostError."""
        self._refuse(path)

    def space(self, path: str) -> Space:
        """Raise HostError."""
        self._refuse(path)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        self._refuse(argv[0])

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        self._refuse(argv[0])

    def acting_as(self, uid: int) -> Host:
        """Return this host."""
        return self

    def supplier(self, path: str) -> int:
        """Raise HostError."""
        self._refuse(path)

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Raise HostError."""
        self._refuse(str(target))

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Raise HostError."""
        self._refuse(next(iter(paths), "files"))

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Raise HostError."""
        self._refuse(next(iter(paths), "links"))

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Raise HostError."""
        self._refuse("sockets")

    def holders(
        self,
        inodes: frozenset[int],
        pids: Sequence[int],
        *,
        timeout_s: float = 1.5,
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Raise HostError."""
        self._refuse("sockets")

    def inside(self, root: str) -> Host:
        """Raise HostError."""
        self._refuse(root)

    def _refuse(self, what: str) -> NoReturn:
        raise HostError(f"{what}: not checked: it belongs to another machine", "run why502 on that machine")
