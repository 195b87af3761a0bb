"""The local machine."""

from __future__ import annotations

import errno
import json
import os
import posixpath
import re
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from why502.host import trust
from why502.host.base import Finished, Host, Sandbox, SocketTable
from why502.host.bounded import bounded
from why502.host.bulk import each
from why502.host.connection import SocketConnection
from why502.host.descriptors import DescriptorHost
from why502.host.directory import DirectoryHost, PublicHost
from why502.host.files import READ_FLAGS, failure
from why502.host.openat2 import without_links
from why502.host.trust import only_user, resolve, supplier
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.network import Network
from why502.model.patterns import lazy
from why502.model.target import Target

T = TypeVar("T")

OUTPUT_LIMIT = 4 << 20  # bytes of each stream of a program
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


_SANDBOX = str(Path(__file__).with_name("sandbox_process.py"))
_KERNELS = ("/proc/", "/sys/")
_BELOW = lazy(r"(/proc/(?:[0-9]+|self)/root)(/.*)", re.DOTALL)
# The path contains a link; the kernel is older than 5.6, or a sandbox blocks openat2(2).
_UNSUPPORTED = (errno.ELOOP, errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL)


class LocalHost(DescriptorHost):
    """A Host for this machine. `patience_s` limits the time of one file operation."""

    def __init__(self, *, patience_s: float = 1.0) -> None:
        self.name = socket.gethostname()
        self._patience_s = patience_s
        self._hung: set[str] = set()
        self._users: dict[int, Host] = {}
        self._lock = threading.Lock()

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program in its own session. The whole session is killed when the program ends or at the time limit.

        The system directories come first in its PATH. Output beyond OUTPUT_LIMIT is dropped.
        """
        program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=_search_path())
        if program is None:
            raise Missing(f"{argv[0]}: not found")
        if reason := trust.stranger(program):
            raise Denied(f"{argv[0]} was not run: {reason}")
        return self._run((program, *argv[1:]), timeout_s)

    def try_out(self, sandbox: Sandbox, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program owned by root so that it cannot change the machine; see `sandbox_process`. Raises HostError."""
        if os.geteuid() != 0:
            raise Denied(f"{argv[0]}: only root can test it", "run as root")
        from why502.host.sandbox_process import NO_ROOM

        with trust.program(sandbox.program, sandbox.pid) as descriptor:
            order = {
                "program": descriptor,
                "argv": argv,
                "pid": sandbox.pid,
                "mounts": sandbox.enters_mounts,
                "network": sandbox.enters_network,
                "directories": sandbox.directories,
                "files": sandbox.files,
                "environment": sandbox.environment,
                "contents": sandbox.contents,
            }
            words = (sys.executable, "-I", "-S", _SANDBOX, json.dumps(order))
            done = self._run(words, timeout_s, descriptor)
        if done.status == NO_ROOM:
            raise HostError(f"{argv[0]}: no overlay could be mounted over what it writes to: {done.stderr.strip()[:200]}")
        return done

    def _run(self, argv: tuple[str, ...], timeout_s: float, *descriptors: int) -> Finished:
        environment = {**os.environ, "LC_ALL": "C", "PATH": _search_path()}
        environment.pop("NGINX", None)  # passes inherited sockets to an nginx that we run
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                pass_fds=descriptors,
            )
        except (OSError, ValueError) as error:
            raise _not_run(error, argv[0]) from error
        with process:
            try:
                stdout, stderr = _outputs(process, time.monotonic() + timeout_s)
            finally:
                _end(process)
        if process.returncode == -signal.SIGKILL and stdout is None:
            raise Expired(f"{argv[0]}: did not finish within {timeout_s:g} s")
        return Finished(
            status=process.returncode,
            stdout=(stdout or b"").decode("utf-8", "replace"),
            stderr=(stderr or b"").decode("utf-8", "replace"),
        )

    def connect(
        self, target: Target, *, timeout_s: float = 5.0, network_of: Network | None = None, datagrams: bool = False
    ) -> SocketConnection:
        """Open a connection. A host name is resolved first within the same time; in another network namespace, only addresses."""
        if not target.is_unix:
            return SocketConnection.to(target, timeout_s, network_of=network_of, datagrams=datagrams)
        # connect(2) gets the descriptor: it cannot be redirected in the meantime, and the path may have any length.
        if below := _BELOW.fullmatch(target.path):
            with DirectoryHost(below[1]).held(below[2]) as descriptor:
                return SocketConnection.to(target, timeout_s, f"/proc/self/fd/{descriptor}")
        try:
            return self._bounded(
                target.path, lambda at: SocketConnection.to(target, timeout_s, f"/proc/self/fd/{at}"), patience_s=timeout_s + 1
            )
        except _PlacedBy as error:
            return self.acting_as(error.uid).connect(target, timeout_s=timeout_s)  # type: ignore[return-value]

    def read_all(self, paths: Sequence[str], *, limit_bytes: int = 1 << 16) -> tuple[bytes | None, ...]:
        """Return the contents of many small files; None for one that cannot be read."""
        return each(paths, lambda path: _start(path, limit_bytes), self._patience_s)

    def link_all(self, paths: Sequence[str]) -> tuple[str | None, ...]:
        """Return the targets of many symbolic links; None for one that cannot be read."""
        return each(paths, os.readlink, self._patience_s)

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        """Return the kernel's listening sockets, of our network namespace or of each process's."""
        from why502.host import sock_diag

        return sock_diag.tables(pids, connected=connected)

    def holders(
        self, inodes: frozenset[int], pids: Sequence[int], *, timeout_s: float = 1.5
    ) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the processes that hold each of the sockets, and how many were skipped for lack of time."""
        from why502.host import fd_scan

        return fd_scan.holders(inodes, pids, timeout_s)

    def inside(self, root: str) -> DirectoryHost:
        """Return a host for the tree below another root directory, with our own rights. Call `acting_as` first if other rights
        are needed.
        """
        return DirectoryHost(root)

    def acting_as(self, uid: int) -> Host:
        """Return this machine limited to a user's rights."""
        own = os.geteuid()
        if uid in (0, own):
            return self
        if uid not in self._users:
            with self._lock:
                if own != 0:
                    self._users[uid] = PublicHost(self.name)
                elif uid not in self._users:
                    from why502.host.owner import OwnerHost

                    self._users[uid] = OwnerHost(uid, self.name, patience_s=self._patience_s)
        return self._users[uid]

    def supplier(self, path: str) -> int:
        """Return the user who controls a file's content."""
        below = _BELOW.fullmatch(path)
        return supplier(below[2], below[1]) if below else supplier(path)

    def _look(self, path: str, call: Callable[[int], T], again: Callable[[Host], T], *, follow: bool = True) -> T:
        """Return the result of `call`, within the time limit.

        Files that other users than root put there are opened with their rights.
        """
        if below := _BELOW.fullmatch(path):
            return DirectoryHost(below[1], patience_s=self._patience_s)._look(below[2], call, again, follow=follow)
        try:
            return self._bounded(path, call, follow=follow, patience_s=self._patience_s)
        except _PlacedBy as error:
            return again(self.acting_as(error.uid))

    def _bounded(self, path: str, call: Callable[[int], T], *, patience_s: float, follow: bool = True) -> T:
        """Return the result of `call`, within the time limit. After a call has hung in a directory, that directory is skipped."""
        directory = posixpath.dirname(path)
        if directory in self._hung:
            raise Expired(f"{path}: its directory did not answer before")

        def look() -> T:
            at = _descriptor(path, follow=follow)
            try:
                return call(at)
            finally:
                os.close(at)

        try:
            return bounded(patience_s, look)
        except OSError as error:
            raise failure(error, path) from error
        except ValueError as error:  # a NUL byte in the path
            raise HostError(f"{path!r}: {error}") from error
        except Expired as error:
            self._hung.add(directory)
            raise Expired(f"{path}: {error.reason}", "check whether its file system responds") from error


def _search_path() -> str:
    return f"{_SYSTEM_PATH}:{os.environ.get('PATH', '')}".rstrip(":")


class _PlacedBy(Exception):
    """A link on the way, or a hard link of the file, created by another user."""

    def __init__(self, uid: int) -> None:
        super().__init__(uid)
        self.uid = uid


def _descriptor(path: str, *, follow: bool) -> int:
    """Return an O_PATH descriptor of the file a path leads to. Raises OSError, _PlacedBy."""
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    if path.startswith(_KERNELS):  # /proc and /sys: names made by the kernel
        return os.open(path, flags)
    try:
        at = without_links(path, flags)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    else:
        found = os.fstat(at)
        if found.st_nlink == 1 or not stat.S_ISREG(found.st_mode):
            return at
        os.close(at)
    held = resolve(path, follow=follow)
    if uid := only_user({writer.uid for writer in held.leaders}):
        os.close(held.descriptor)
        raise _PlacedBy(uid)
    return held.descriptor


def _start(path: str, limit_bytes: int) -> bytes:
    """Return the start of a kernel file, which reports no size. Raises OSError."""
    if not path.startswith(_KERNELS):
        raise PermissionError(errno.EPERM, "only the kernel's own files are read in bulk")
    descriptor = os.open(path, READ_FLAGS)
    try:
        found = os.read(descriptor, limit_bytes)
        while found and len(found) < limit_bytes and (more := os.read(descriptor, limit_bytes - len(found))):
            found += more
        return found
    finally:
        os.close(descriptor)


def _not_run(error: OSError | ValueError, program: str) -> HostError:
    return failure(error, program) if isinstance(error, OSError) else HostError(f"{program!r}: {error}")


def _outputs(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes] | tuple[None, None]:
    """Return stdout and stderr when both are closed or the program has ended; (None, None) at the deadline."""
    kept: dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
            kept[stream.fileno()] = bytearray()
        numbers = tuple(kept)
        while selector.get_map():
            ready = selector.select(max(0.0, min(0.2, deadline - time.monotonic())))
            for key, _ in ready:
                if chunk := os.read(key.fd, 1 << 16):
                    kept[key.fd] += chunk[: OUTPUT_LIMIT - len(kept[key.fd])]
                else:
                    selector.unregister(key.fileobj)
            if time.monotonic() >= deadline:
                return None, None
            if not ready and process.poll() is not None:  # a child that it left behind still holds the pipes open
                break
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None, None
    return bytes(kept[numbers[0]]), bytes(kept[numbers[1]])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of the program's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
