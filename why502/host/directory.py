"""A directory as the root of a machine: an unpacked archive, or /proc/PID/root for another mount namespace."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NoReturn, TypeVar

from why502.host.base import Connection, Finished, Host, Sandbox, SocketTable
from why502.host.bounded import bounded
from why502.host.connection import SocketConnection
from why502.host.descriptors import DescriptorHost
from why502.host.files import failure
from why502.host.many import holders, link_all, read_all
from why502.host.trust import supplier
from why502.model.errors import Denied, HostError
from why502.model.network import Network
from why502.model.target import Target

T = TypeVar("T")

_LINKS = 40  # maximum per path, the kernel's own limit
_STEPS = 256


class DirectoryHost(DescriptorHost):
    """A Host over a directory. No path leads out of it: absolute links and `..` count from its root, as after chroot(2).

    The path walk holds a descriptor of every directory on the way and resolves links itself. A user who changes the directory
    in
    the meantime cannot redirect it.
    """

    def __init__(self, root: str, name: str = "", *, patience_s: float = 2.0) -> None:
        self.root = root.rstrip("/") or "/"
        self.name = name or root
        self._patience_s = patience_s

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError: nothing in a directory is ever run."""
        self._refuse(f"{argv[0]}: no program runs")

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        self._refuse(f"{argv[0]}: no program runs")

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Raise HostError: a directory has no network."""
        self._refuse(f"{target}: no connection is possible")

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files; None for one that cannot be read."""
        return read_all(self, paths, limit_bytes)

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links; None for one that cannot be read."""
        return link_all(self, paths)

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Raise HostError: a directory has no kernel."""
        self._refuse("sockets: no kernel to query")

    def holders(
        self, inodes: frozenset[int], pids: Sequence[int], *, timeout_s: float = 1.5
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the processes that hold each of the sockets, and how many were skipped for lack of time."""
        return holders(self, inodes, pids, timeout_s)

    def inside(self, root: str) -> DirectoryHost:
        """Return a host for a directory below this directory."""
        return DirectoryHost(self.root + "/" + root.lstrip("/"), self.name)

    def acting_as(self, uid: int) -> DirectoryHost:
        """Return this host: the files of the directory are only read."""
        return self

    def supplier(self, path: str) -> int:
        """Return the user who controls a file's content; an unpacked archive belongs to the user who unpacked it."""
        return supplier(path, self.root)

    @contextmanager
    def held(self, path: str) -> Iterator[int]:
        """Yield an O_PATH descriptor of the file a path leads to. Raises HostError."""
        try:
            with self._found(path, follow=True) as descriptor:
                yield descriptor
        except OSError as error:
            raise failure(error, path) from error

    def _refuse(self, what: str) -> NoReturn:
        raise HostError(f"{what} in the directory {self.root}", "run why502 on the machine itself")

    def _look(self, path: str, call: Callable[[int], T], again: Callable[[Host], T], *, follow: bool = True) -> T:
        def look() -> T:
            with self._found(path, follow=follow) as descriptor:
                return call(descriptor)

        try:
            return bounded(self._patience_s, look)
        except OSError as error:
            raise failure(error, path) from error
        except ValueError as error:
            raise HostError(f"{path!r}: {error}") from error

    @contextmanager
    def _found(self, path: str, *, follow: bool) -> Iterator[int]:
        """Yield an O_PATH descriptor of the file the path leads to."""
        links, steps = _LINKS, _STEPS
        left = path.split("/")[::-1]
        with ExitStack() as stack:
            way = [_close_with(stack, os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))]
            while left:
                name = left.pop()
                if name in ("", "."):
                    continue
                if name == "..":
                    way = way[:-1] or way
                    continue
                steps -= 1
                if not steps:
                    raise HostError(f"{path}: too many components")
                self._may_pass(way[-1], path)
                entry = _close_with(stack, os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=way[-1]))
                if stat.S_ISLNK(os.fstat(entry).st_mode) and (follow or any(part for part in left)):
                    links -= 1
                    if not links:
                        raise HostError(f"{path}: too many symbolic links")
                    aim = os.readlink("", dir_fd=entry)
                    if aim.startswith("/"):
                        way = way[:1]
                    left += aim.split("/")[::-1]
                else:
                    way.append(entry)
            yield way[-1]

    def _may_pass(self, descriptor: int, path: str) -> None:
        """Raise HostError if a directory on the way must not be entered."""


class PublicHost(DirectoryHost):
    """The world-readable part of this machine: for facts of another user when we cannot assume that user's rights."""

    def __init__(self, name: str, root: str = "/", *, patience_s: float = 1.0) -> None:
        super().__init__(root, name, patience_s=patience_s)

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Open a connection; to a unix socket only if it is world-writable."""
        if not target.is_unix:
            return SocketConnection.to(target, timeout_s, network_of=network_of, datagrams=datagrams)
        with self.held(target.path) as descriptor:
            _is_for_all(os.fstat(descriptor), stat.S_IWOTH, target.path)
            return SocketConnection.to(target, timeout_s, f"/proc/self/fd/{descriptor}")

    def inside(self, root: str) -> PublicHost:
        """Return a host for the world-readable part below another root directory."""
        return PublicHost(self.name, self.root.rstrip("/") + root, patience_s=self._patience_s)

    def _look(self, path: str, call: Callable[[int], T], again: Callable[[Host], T], *, follow: bool = True) -> T:
        def look(at: int) -> T:
            found = os.fstat(at)
            if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
                _is_for_all(found, stat.S_IROTH, path)
            return call(at)

        return super()._look(path, look, again, follow=follow)

    def _may_pass(self, descriptor: int, path: str) -> None:
        _is_for_all(os.fstat(descriptor), stat.S_IXOTH, path)


def _is_for_all(found: os.stat_result, right: int, path: str) -> None:
    if not found.st_mode & right:
        raise Denied(f"{path}: it is not readable by everybody, and another user names it", "run as root")


def _close_with(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor
