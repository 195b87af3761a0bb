"""This machine with the rights of one of its users: why502 does nothing for a user that the user could not do.

A user controls process titles, configuration files, logs and socket paths, and with them the paths why502 follows. Those paths
are read, listed, connected to and run by a process with the user's own rights (see `owner_process`); the kernel enforces them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from why502.host.base import Finished, Host, Sandbox, SocketTable, Space, Stat
from why502.host.bounded import bounded
from why502.host.connection import SocketConnection, address_of
from why502.host.files import as_file, as_kind, failure, parse_acl
from why502.host.many import holders, link_all, read_all
from why502.host.trust import NOBODY
from why502.host.waiting import waiting
from why502.model.errors import Denied, Expired, HostError
from why502.model.network import Network
from why502.model.target import Target

_END_S = 0.5
_STOP_S = 0.05  # for one that is to stop; one that waits for a file system does not
FAILURES_MOST = 3  # per user: after this many failures of the process (killed or stopped by its user) we stop trying
_PROGRAM = str(Path(__file__).with_name("owner_process.py"))
_START_S = 2.0
_ANSWER_BYTES = 8 << 20


class OwnerHost:
    """A Host that acts with the rights of `uid`. `root`: the root directory of its paths; nothing runs in a root other than
    "/".
    """

    def __init__(self, uid: int, name: str, root: str = "", *, patience_s: float = 1.0) -> None:
        self.uid = uid
        self.name = name
        self._root = root
        self._patience_s = patience_s
        self._helper: _Helper | None = None
        self._failures = 0
        self._lock = threading.Lock()
        self._inside: dict[str, OwnerHost] = {}

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        return self._ask(path, {"op": "read", "path": path, "limit": limit_bytes}, most=limit_bytes)[1]

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file."""
        return as_file(self._ask(path, {"op": "open", "path": path})[2], path)

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; of a huge directory only some."""
        return [str(name) for name in json.loads(self._ask(path, {"op": "list", "path": path})[1])]

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return the result of stat(2) (or lstat(2))."""
        mode, inode, device, _, uid, gid, size, _, modified, _ = self._ask(path, {"op": "stat", "path": path, "follow": follow})[
            0
        ]["stat"]
        kind, bits = as_kind(mode)
        return Stat(kind=kind, mode=bits, uid=uid, gid=gid, size_bytes=size, modified_s=modified, inode=inode, device=device)

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        return str(self._ask(path, {"op": "link", "path": path})[0]["link"])

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list with numeric ids."""
        try:
            return parse_acl(self._ask(path, {"op": "acl", "path": path})[1])
        except HostError as error:
            if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                return ()
            raise

    def space(self, path: str) -> Space:
        """Return the free space of a path's file system."""
        _, unit, blocks, _, free, files, _, free_files, flags, _ = self._ask(path, {"op": "space", "path": path})[0]["space"]
        return Space(
            free_bytes=free * unit,
            total_bytes=blocks * unit,
            free_inodes=free_files if files else None,
            total_inodes=files or None,
            is_read_only=bool(flags & os.ST_RDONLY),
        )

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program as the user, in its own session. The whole session is killed when the program ends or at the time
        limit.
        """
        if self._root:
            raise HostError(f"{argv[0]}: no program runs below {self._root}", "run why502 on the machine itself")
        helper = self._started()
        try:
            order = {"op": "run", "argv": list(argv), "timeout": timeout_s}
            fields, content, _ = helper.ask(order, timeout_s + 1.0 + _START_S, most=16 << 20)
        finally:
            helper.end()
        if fields.get("expired"):
            raise Expired(f"{argv[0]}: did not finish within {timeout_s:g} s")
        cut = int(fields["stdout"])
        texts = (content[:cut].decode("utf-8", "replace"), content[cut:].decode("utf-8", "replace"))
        return Finished(status=int(fields["status"]), stdout=texts[0], stderr=texts[1])

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Raise HostError."""
        raise HostError(f"{argv[0]}: only root can test a program")

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> SocketConnection:
        """Open a connection. A host name is resolved first within the same time; in another network namespace, only addresses.

        The user's process cannot enter a namespace, so we do, where the user could.
        """
        if network_of is not None and not target.is_unix:
            return SocketConnection.to(target, timeout_s, network_of=network_of, datagrams=datagrams, uid=self.uid)
        until = time.monotonic() + timeout_s
        if target.is_unix:
            order: dict[str, Any] = {"op": "connect", "path": target.path}
        else:
            family, address = address_of(target, timeout_s)
            order = {"op": "connect", "family": int(family), "address": list(address), "datagrams": datagrams}
        descriptor = self._ask(str(target), order)[2]
        return SocketConnection.over(socket.socket(fileno=descriptor), target, timeout_s, until - time.monotonic())

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files; None for one that cannot be read."""
        return read_all(self, paths, limit_bytes)

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links; None for one that cannot be read."""
        return link_all(self, paths)

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Raise HostError: only root lists the kernel's sockets."""
        raise HostError("kernel sockets are not queried with a user's rights")

    def holders(
        self, inodes: frozenset[int], pids: Sequence[int], *, timeout_s: float = 1.5
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the processes that hold each of the sockets, and how many were skipped for lack of time."""
        return holders(self, inodes, pids, timeout_s)

    def inside(self, root: str) -> OwnerHost:
        """Return a host for what the user can see below another root directory."""
        if root not in self._inside:
            self._inside[root] = OwnerHost(self.uid, self.name, self._root + root, patience_s=self._patience_s)
        return self._inside[root]

    def acting_as(self, uid: int) -> Host:
        """Return this host: rights given up are never regained."""
        return self if uid == self.uid else OwnerHost(NOBODY, self.name, self._root, patience_s=self._patience_s)

    def supplier(self, path: str) -> int:
        """Return the user: everything found here counts as this user's."""
        return self.uid

    def _ask(self, about: str, order: dict[str, Any], *, most: int = _ANSWER_BYTES) -> tuple[dict[str, Any], bytes, int]:
        """Return the fields, content and descriptor of the answer. A process that is gone or late is replaced, a few times."""
        with waiting(self._patience_s + _START_S) as left_s:
            if not self._lock.acquire(timeout=left_s):
                raise Expired(f"{about}: the process with the rights of user {self.uid} is busy")
            try:
                fields, content, descriptor = self._answered(about, order, left_s, most)
            finally:
                self._lock.release()
        if "errno" in fields:
            self._refuse(about, fields)
        return fields, content, descriptor

    def _answered(self, about: str, order: dict[str, Any], timeout_s: float, most: int) -> tuple[dict[str, Any], bytes, int]:
        if self._helper is None:
            self._helper = self._started()
        try:
            return self._helper.ask(order, timeout_s, most=most)
        except HostError as error:
            self._failures += 1
            self._helper.end()
            self._helper = None
            raise type(error)(f"{about}: {error.reason}", error.hint) from error

    def _refuse(self, about: str, fields: dict[str, Any]) -> NoReturn:
        number, message = fields["errno"], str(fields["message"])[:200]
        if not isinstance(number, int):
            raise HostError(f"{about}: {message}")
        if number in (errno.EACCES, errno.EPERM, errno.ELOOP):
            reason = f"{about}: {os.strerror(number).lower()} for user {self.uid}, who names it"
            raise Denied(reason, "on behalf of a user, why502 reads only what that user may read", errno=number)
        raise failure(OSError(number, message), about)

    def _started(self) -> _Helper:
        """Return a new process of the user. Raises HostError."""
        if self._failures >= FAILURES_MOST:
            raise HostError(f"the process with the rights of user {self.uid} exited or failed to answer too often")
        return _Helper(self.uid, self._root)


class _Helper:
    """One process with a user's rights, and the channel to it."""

    def __init__(self, uid: int, root: str) -> None:
        gid, groups = bounded(_START_S, groups_of, uid)
        self._channel, theirs = socket.socketpair()
        below = -1
        try:
            below = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if root else -1
            self._process = _starter().submit(_spawn, uid, gid, groups, theirs.fileno(), below).result()
        except OSError as error:
            self._channel.close()
            raise failure(error, root or "a process with a user's rights") from error
        except RuntimeError as error:
            self._channel.close()
            raise HostError("no process with a user's rights is started any more: the program ends") from error
        finally:
            theirs.close()
            if below >= 0:
                os.close(below)
        # Also at the end of the program: one that its user has stopped would stay, as it does not see that its channel is closed.
        self.end = weakref.finalize(self, _end, self._channel, self._process)

    def ask(self, order: dict[str, Any], timeout_s: float, *, most: int) -> tuple[dict[str, Any], bytes, int]:
        """Return its answer. Raises Expired, or HostError if the process is gone."""
        until = time.monotonic() + timeout_s
        body = json.dumps(order).encode()
        received: list[int] = []
        try:
            self._channel.settimeout(max(0.01, until - time.monotonic()))
            self._channel.sendall(struct.pack("!I", len(body)) + body)
            (length,) = struct.unpack("!I", self._exactly(4, until, received))
            if length > _ANSWER_BYTES:
                raise HostError("the answer is too long")
            fields = json.loads(self._exactly(length, until, received))
            size = int(fields["size"])
            if not 0 <= size <= most:
                raise HostError("the answer is too long")
            content = self._exactly(size, until, received)
        except TimeoutError as error:
            _close(received)
            raise Expired(f"no answer within {timeout_s:g} s") from error
        except (OSError, EOFError, ValueError, KeyError) as error:
            _close(received)
            raise HostError("the process with the user's rights is gone") from error
        if fields.get("has_descriptor"):
            if not received:
                raise HostError("the answer arrived without its file")
            return fields, content, received[0]
        _close(received)
        return fields, content, -1

    def _exactly(self, size: int, until: float, received: list[int]) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._channel.settimeout(max(0.001, until - time.monotonic()))
            chunk, descriptors, _, _ = socket.recv_fds(self._channel, min(size - len(found), 1 << 20), 1)
            received += descriptors
            if not chunk:
                raise EOFError
            found += chunk
        return bytes(found)


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Kill it and the program that it runs. It may stay for as long as a file system of its user's makes it wait."""
    channel.close()
    with contextlib.suppress(OSError):
        for child in _children(process):
            if os.getpgid(child) == child:
                os.killpg(child, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait(_END_S)


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the pids of its children, after it has been stopped: it cannot start or reap one, so the pids stay theirs.

    Source: proc(5), /proc/PID/task/TID/children. A kernel without that file ends them with their parent (PR_SET_PDEATHSIG).
    """
    process.send_signal(signal.SIGSTOP)  # does nothing to one that has been waited for
    own = Path(f"/proc/{process.pid}")
    if process.returncode is not None:
        return []
    until = time.monotonic() + _STOP_S
    while own.joinpath("stat").read_bytes().rpartition(b")")[2].split()[0] in b"RS" and time.monotonic() < until:
        time.sleep(0.001)  # poll: a signal is delivered a moment later
    return [int(word) for word in own.joinpath(f"task/{process.pid}/children").read_bytes().split()]


_starters: dict[int, ThreadPoolExecutor] = {}


def _starter() -> ThreadPoolExecutor:
    """Return the one thread that starts these processes and lives as long as the program: the kernel kills them when it ends.

    With any other thread they would be killed as soon as that one's work is done. A fork(2) has no threads, so it gets its own.
    """
    return _starters.setdefault(os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="owner-start"))


def _spawn(uid: int, gid: int, groups: list[int], channel: int, below: int) -> subprocess.Popen[bytes]:
    """Start the process with no environment, no terminal, and only these two descriptors."""
    numbers = [number for number in (channel, below) if number >= 0]
    argv = [sys.executable, "-I", "-S", _PROGRAM, str(uid), str(gid), ",".join(map(str, groups)), str(channel), str(below)]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=numbers,
        start_new_session=True,
    )


def groups_of(uid: int) -> tuple[int, list[int]]:
    """Return the primary and the supplementary groups of a user; nobody's if there is no account (getgrouplist(3))."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return NOBODY, []
    return account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
