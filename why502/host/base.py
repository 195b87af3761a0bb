"""Operations on a machine: read, list, run, connect. Each raises HostError and is bounded in time and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from why502.model.base import Value
from why502.model.file_kind import FileKind
from why502.model.network import Network
from why502.model.target import Target


class Stat(Value, frozen=True, kw_only=True):
    """The result of stat(2). Times are seconds since the epoch."""

    kind: FileKind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    modified_s: float
    inode: int = 0
    device: int = 0


class Space(Value, frozen=True, kw_only=True):
    """The result of statvfs(3) for a file system. Inodes are None if their number is not fixed."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None = None
    total_inodes: int | None = None
    is_read_only: bool = False


class Finished(Value, frozen=True, kw_only=True):
    """A finished command."""

    status: int
    stdout: str
    stderr: str


class Sandbox(Value, frozen=True, kw_only=True):
    """The setup for running a program without side effects. `program`: its path, or that of a running process if `pid` is not
    0.

    `directories` and `files` are those it may create or write to. They are overlays, discarded afterwards. `contents`: files in
    those directories that have another content for it (bytes as latin-1 text).
    """

    program: str = ""
    pid: int = 0
    enters_mounts: bool = False  # enter the process's mount namespace
    enters_network: bool = False
    directories: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    environment: dict[str, str] = {}  # beside PATH and LC_ALL
    contents: dict[str, str] = {}


@dataclass(slots=True)
class KernelSocket:
    """A socket of a network namespace, as the kernel lists it (sock_diag(7)).

    `target` is its own address; the path of an abstract unix socket begins with `@`. `peer_inode` is the other end of a unix
    socket. `device` and `file_inode` identify the file a unix socket is bound to, as in stat(2); `file_inode` has only the
    lower
    32 bits.
    """

    target: Target
    inode: int
    is_listening: bool
    uid: int | None = None
    queued: int = 0
    backlog: int = 0
    only_v6: bool | None = None
    peer_inode: int = 0
    device: int | None = None
    file_inode: int | None = None


@dataclass(slots=True)
class SocketTable:
    """The sockets of one network namespace, or the reason why they could not be listed. `network` is the namespace's inode."""

    network: str = ""
    sockets: tuple[KernelSocket, ...] = ()
    reason: str = ""
    is_whole: bool = True  # False: there were more sockets than were read


class Connection(Protocol):
    """An open connection to a target. It times out on its own; each method raises HostError."""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    def receive(self, limit_bytes: int = 65536, *, timeout_s: float | None = None) -> bytes:
        """Return the data received, at most `limit_bytes`; b"" if the other side closed.

        `timeout_s` is for this call only; the connection stays usable after Expired.
        """
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Host(Protocol):
    """A machine. Paths are absolute on that machine."""

    name: str

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a (log) file."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return the result of stat(2) (or lstat(2))."""
        ...

    def link(self, path: str) -> str:
        """Return the target of a symbolic link (readlink(2))."""
        ...

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list with numeric ids, as `getfacl -n` prints it: "user:33:rw-", "mask::r-x".

        () means there is none and only the mode bits apply.
        """
        ...

    def space(self, path: str) -> Space:
        """Return the free space of a path's file system."""
        ...

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program without a shell, C locale, no standard input; return its output (each stream at most 4 MiB)."""
        ...

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program as root in a sandbox without side effects. Only root may be able to change the program. Raises
        HostError.
        """
        ...

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> Connection:
        """Open a connection. Raises HostError with its `errno` if there is one, Expired after `timeout_s`.

        `network_of`: connect inside this network namespace, which does not matter to the path of a unix socket. `datagrams`: over
        UDP, where each `send` and `receive` is one datagram.
        """
        ...

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files, in order, at most `limit_bytes` of each; None for one that cannot be read."""
        ...

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links, in order; None for one that cannot be read."""
        ...

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Return the kernel's listening TCP and unix sockets, of our network namespace or of each process's.

        `connected`: only unix sockets, including connected ones. Raises HostError if the kernel does not answer.
        """
        ...

    def holders(
        self, inodes: frozenset[int], pids: Sequence[int], *, timeout_s: float = 1.5
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the processes that hold each of the sockets, and how many processes were skipped for lack of time."""
        ...

    def inside(self, root: str) -> Host:
        """Return a host for the tree below another root directory (`/proc/PID/root`); it runs nothing."""
        ...

    def acting_as(self, uid: int) -> Host:
        """Return this machine limited to a user's rights: it reads, connects to and runs only what the user could. 0 is root.

        Whoever supplies a fact (a process title, a configuration, a log) also controls where it leads.
        """
        ...

    def supplier(self, path: str) -> int:
        """Return the user who controls a file's content: 0 if only root (or the user who started us) can write or replace it.

        NOBODY for several users or a group. Raises HostError.
        """
        ...
