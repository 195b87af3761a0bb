"""A folder as if it were a machine's root: an unpacked archive, or /proc/PID/root, the root of another mount namespace."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, NoReturn, TypeVar

from why502.host.base import Connection, Finished, Space, Stat
from why502.host.bounded import bounded
from why502.host.files import LIST_LIMIT, READ_FLAGS, access_list, as_file, as_space, as_stat, content, failure
from why502.model.errors import HostError
from why502.model.target import Target

T = TypeVar("T")

_LINKS = 40  # followed in one path, as the kernel's own limit
_STEPS = 256


class DirectoryHost:
    """A Host over a folder. No path leads out of it: absolute links and `..` count from its root, as after chroot(2).

    The walk holds a descriptor of every folder on the way and follows no link by the kernel's help, so whoever may change
    the folder meanwhile cannot lead us elsewhere.
    """

    def __init__(self, root: str, name: str = "", *, patience_s: float = 2.0) -> None:
        self.root = root.rstrip("/") or "/"
        self.name = name or root
        self._patience_s = patience_s

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        return self._look(path, lambda at: content(_open(at, path), limit_bytes))

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file."""
        return self._look(path, lambda at: _open(at, path))

    def list(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; of a huge one only some."""
        return self._look(path, _names)

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return what stat(2) (or lstat(2)) tells."""
        return self._look(path, lambda at: as_stat(os.fstat(at)), follow=follow)

    def link(self, path: str) -> str:
        """Return what a symbolic link holds."""
        return self._look(path, lambda at: os.readlink("", dir_fd=at), follow=False)

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list in numbers."""
        return self._look(path, lambda at: access_list(f"/proc/self/fd/{at}"))

    def space(self, path: str) -> Space:
        """Return how full the file system of a path is."""
        return self._look(path, lambda at: as_space(os.fstatvfs(at)))

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:  # noqa: ARG002
        """Raise HostError: nothing of a folder is ever run."""
        self._refuse(f"{argv[0]}: no program runs")

    def connect(self, target: Target, *, timeout_s: float = 5.0) -> Connection:  # noqa: ARG002
        """Raise HostError: a folder has no network."""
        self._refuse(f"{target}: no connection leads")

    def inside(self, root: str) -> DirectoryHost:
        """Return what can be seen below a folder of this folder."""
        return DirectoryHost(self.root + "/" + root.lstrip("/"), self.name)

    def _refuse(self, what: str) -> NoReturn:
        raise HostError(f"{what} in the folder {self.root}", "look at the machine itself")

    def _look(self, path: str, call: Callable[[int], T], *, follow: bool = True) -> T:
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
        """Yield an O_PATH descriptor of what the path leads to."""
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


def _close_with(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _open(at: int, path: str) -> BinaryIO:
    return as_file(_reopened(at), path)


def _names(at: int) -> list[str]:
    descriptor = _reopened(at, os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(LIST_LIMIT), strict=False))
    finally:
        os.close(descriptor)


def _reopened(at: int, flags: int = 0) -> int:
    """Return a readable descriptor of what an O_PATH descriptor holds (open(2), O_PATH)."""
    return os.open(f"/proc/self/fd/{at}", READ_FLAGS | flags)
