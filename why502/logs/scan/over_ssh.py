"""Remote files over SFTP through the machine's own `ssh`, so its keys, agent, jump hosts and known hosts apply."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from why502.model.errors import Why502Error

_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ForwardAgent=no",
    "ForwardX11=no",
)
_MOST_SAID = 4096
_PATIENCE_S = 60.0  # for one more byte; ssh itself gives up on a dead network after as long


def reached(path: str) -> tuple[SFTPFileSystem, str]:
    """Return the file system of `ssh://[USER@]HOST[:PORT]/PATH`, and PATH. Raises Why502Error."""
    hint = "Write it like ssh://web1.example/var/log/nginx/access.log; USER@ and :PORT are optional."
    try:
        parts = urlsplit(path)
        host, user, port = parts.hostname or "", unquote(parts.username or ""), parts.port
    except ValueError as error:
        raise Why502Error(f"an ssh:// address cannot be read: {error}", hint) from error
    if not host or not parts.path or host.startswith("-") or user.startswith("-"):
        raise Why502Error("an ssh:// address has no host or no path", hint)
    if parts.password:
        raise Why502Error(
            f"ssh://{host}: a password in the address is not supported", "Use a key or an agent, as for `ssh` itself."
        )
    inner = path.split("://", 1)[1].partition("/")[2]  # a `?` is a pattern here, not a query
    return System(host, user=user, port=port), "/" + unquote(inner)


class _Client(paramiko.SFTPClient):  # type: ignore[misc] # no types
    """The protocol over a bare socket, which has no name for log messages."""

    def _log(self, *_: object) -> None:
        pass

    def _read_all(self, size: int) -> bytes:
        """Return so many bytes. paramiko asks select(2) first, which knows no descriptor above 1023.

        Raises EOFError, and TimeoutError if nothing comes for a minute; then the connection is closed, as its state is unknown.
        """
        found = b""
        while len(found) < size:
            try:
                piece = self.sock.recv(size - len(found))
            except TimeoutError:
                self.sock.close()
                raise
            if not piece:
                raise EOFError
            found += piece
        return found


class System(SFTPFileSystem):  # type: ignore[misc] # fsspec has no types
    """The files of one machine. One connection per process."""

    protocol = "why502-ssh"

    def _connect(self) -> None:
        user, port = self.ssh_kwargs.get("user"), self.ssh_kwargs.get("port")
        argv = ["ssh", *(word for option in _OPTIONS for word in ("-o", option))]
        argv += ["-l", user] if user else []
        argv += ["-p", str(port)] if port else []
        mine, its = socket.socketpair()
        mine.settimeout(_PATIENCE_S)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as ssh
        try:
            with its:
                process = subprocess.Popen(
                    [*argv, "-s", "--", self.host, "sftp"],
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C is handled by this process
                )
        except OSError as error:
            mine.close()
            raise Why502Error(f"ssh://{self.host}: ssh: {error.strerror}", "Install the OpenSSH client.") from error
        try:
            self.ftp = _Client(mine)  # a socket is accepted too, see BaseSFTP._read_all
        except (EOFError, OSError, paramiko.SSHException) as error:
            mine.close()
            process.wait()
            raise Why502Error(
                f"ssh://{self.host}: {_last(errors) or 'the connection ended'}", _hint(self.host, user, port)
            ) from error
        weakref.finalize(self, _end, mine, process, os.getpid())

    def ranges(self, inner: str) -> tuple[Callable[[int, int], bytes], int, Callable[[], object]]:
        """Return a function that fetches a range of a file, the file's size, and a function that closes the file."""
        stream = self.ftp.open(inner, "rb")
        size = stream.stat().st_size or 0
        lock = threading.Lock()  # a thread may be reading the file ahead

        def fetch(start: int, end: int) -> bytes:
            with lock:
                # paramiko asks for nothing from where an answer to an earlier read was left over, and would wait for ever
                stream._prefetch_data.clear()
                return b"".join(stream.readv([(start, end - start)]))  # many requests at once

        return fetch, size, stream.close


def _end(mine: socket.socket, process: subprocess.Popen[bytes], pid: int) -> None:
    if os.getpid() != pid:  # a fork: the connection is its parent's
        mine.close()
        return
    with contextlib.suppress(OSError):
        mine.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
    mine.close()
    process.terminate()
    process.wait()


def _last(errors: BinaryIO) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - _MOST_SAID, 0))
    lines = errors.read(_MOST_SAID).decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _hint(host: str, user: Any, port: Any) -> str:
    place = f"{user}@{host}" if user else host
    return f"Try `ssh {f'-p {port} ' if port else ''}{place}` yourself: it must connect without a prompt."
