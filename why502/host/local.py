"""This very machine."""

from __future__ import annotations

import os
import posixpath
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from why502.host.base import Finished, Space, Stat
from why502.host.bounded import bounded
from why502.host.connection import SocketConnection
from why502.host.directory import DirectoryHost
from why502.host.files import LIST_LIMIT, READ_FLAGS, access_list, as_file, as_space, as_stat, content, failure
from why502.model.errors import Expired, HostError, Missing
from why502.model.target import Target

T = TypeVar("T")

OUTPUT_LIMIT = 4 << 20  # bytes of each stream of a program
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalHost:
    """A Host that looks at this machine. `patience_s` is how long one look at a file may take."""

    def __init__(self, *, patience_s: float = 1.0) -> None:
        self.name = socket.gethostname()
        self._patience_s = patience_s
        self._hung: set[str] = set()

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        return self._look(path, lambda: content(_opened(path), limit_bytes))

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file."""
        return self._look(path, lambda: _opened(path))

    def list(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; of a huge one only some."""
        return self._look(path, lambda: _names(path))

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return what stat(2) (or lstat(2)) tells."""
        return self._look(path, lambda: as_stat(os.stat(path, follow_symlinks=follow)))

    def link(self, path: str) -> str:
        """Return what a symbolic link holds."""
        return self._look(path, lambda: os.readlink(path))

    def acl(self, path: str) -> tuple[str, ...]:
        """Return the POSIX access list in numbers."""
        return self._look(path, lambda: access_list(path))

    def space(self, path: str) -> Space:
        """Return how full the file system of a path is."""
        return self._look(path, lambda: as_space(os.statvfs(path)))

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Run a program in a session of its own, which ends as a whole with it or at the time limit.

        The system's own folders come first in its PATH. Output beyond OUTPUT_LIMIT is read and dropped.
        """
        environment = {**os.environ, "LC_ALL": "C", "PATH": f"{_SYSTEM_PATH}:{os.environ.get('PATH', '')}".rstrip(":")}
        environment.pop("NGINX", None)  # names inherited sockets to an nginx that we ask
        if "/" not in argv[0] and shutil.which(argv[0], path=environment["PATH"]) is None:
            raise Missing(f"{argv[0]}: not found")  # else a folder of PATH that we may not enter makes it EACCES
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise _not_run(error, argv[0]) from error
        with process:
            try:
                stdout, stderr = _outputs(process, time.monotonic() + timeout_s)
            finally:
                _end(process)
        if process.returncode == -signal.SIGKILL and stdout is None:
            raise Expired(f"{argv[0]}: did not end within {timeout_s:g} s")
        return Finished(
            status=process.returncode,
            stdout=(stdout or b"").decode("utf-8", "replace"),
            stderr=(stderr or b"").decode("utf-8", "replace"),
        )

    def connect(self, target: Target, *, timeout_s: float = 5.0) -> SocketConnection:
        """Open a connection. A host name is resolved first, within the same time."""
        return SocketConnection.to(target, timeout_s)

    def inside(self, root: str) -> DirectoryHost:
        """Return what can be seen below another root folder."""
        return DirectoryHost(root)

    def _look(self, path: str, call: Callable[[], T]) -> T:
        """Return what `call` returns, within the time limit. A folder where a look hung is not looked at again."""
        folder = posixpath.dirname(path)
        if folder in self._hung:
            raise Expired(f"{path}: its folder did not answer before")
        try:
            return bounded(self._patience_s, call)
        except OSError as error:
            raise failure(error, path) from error
        except ValueError as error:  # a NUL byte in the path
            raise HostError(f"{path!r}: {error}") from error
        except Expired as error:
            self._hung.add(folder)
            raise Expired(f"{path}: {error.why}", "look whether its file system answers") from error


def _opened(path: str) -> BinaryIO:
    return as_file(os.open(path, READ_FLAGS), path)


def _names(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry, _ in zip(entries, range(LIST_LIMIT), strict=False))


def _not_run(error: OSError | ValueError, program: str) -> HostError:
    return failure(error, program) if isinstance(error, OSError) else HostError(f"{program!r}: {error}")


def _outputs(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes] | tuple[None, None]:
    """Return both outputs, when both ended or the program did; (None, None) at the deadline."""
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
            if not ready and process.poll() is not None:  # a child that it left behind still holds the pipes
                break
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None, None
    return bytes(kept[numbers[0]]), bytes(kept[numbers[1]])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
