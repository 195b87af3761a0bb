"""A connection over a socket of this machine."""

from __future__ import annotations

import os
import selectors
import socket
import time
from typing import Any

from why502.host import network_entry
from why502.host.bounded import bounded
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.network import Network
from why502.model.target import Target


class SocketConnection:
    """A Connection. `timeout_s` bounds opening it and each later call."""

    def __init__(self, stream: socket.socket, target: Target) -> None:
        self._socket = stream
        self._target = target

    @classmethod
    def to(
        cls,
        target: Target,
        timeout_s: float,
        path: str = "",
        *,
        network_of: Network | None = None,
        datagrams: bool = False,
        uid: int = 0,
    ) -> SocketConnection:
        """Return an open connection. `path`: file system path of a unix socket. `uid`: whose facts lead into `network_of`.

        Raises HostError with its errno, Expired after `timeout_s`.
        """
        until = time.monotonic() + timeout_s
        family, address = (socket.AF_UNIX, path) if path else address_of(target, timeout_s, network_of)
        stream = _socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM, target, network_of, uid)
        try:
            stream.settimeout(max(0.001, until - time.monotonic()))
            stream.connect(address)
            stream.settimeout(timeout_s)
        except (OSError, ValueError) as error:
            stream.close()
            raise _failure(error, target) from error
        return cls(stream, target)

    @classmethod
    def over(cls, stream: socket.socket, target: Target, timeout_s: float, left_s: float) -> SocketConnection:
        """Return the connection over a socket that is connecting. It has `left_s` to connect. Raises HostError with its errno,
        Expired.
        """
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(stream, selectors.EVENT_WRITE)
                if not selector.select(max(0.001, left_s)):
                    raise TimeoutError
            if number := stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))
            stream.settimeout(timeout_s)
        except OSError as error:
            stream.close()
            raise _failure(error, target) from error
        return cls(stream, target)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _failure(error, self._target) from error

    def receive(self, limit_bytes: int = 65536, *, timeout_s: float | None = None) -> bytes:
        """Return the data received, at most `limit_bytes`; b"" if the other side closed."""
        usual = self._socket.gettimeout()
        try:
            if timeout_s is not None:
                self._socket.settimeout(max(0.001, timeout_s))
            return self._socket.recv(limit_bytes)
        except OSError as error:
            raise _failure(error, self._target) from error
        finally:
            self._socket.settimeout(usual)

    def close(self) -> None:
        """Close it."""
        try:
            self._socket.close()
        except OSError:
            pass


def _socket(family: int, kind: int, target: Target, network_of: Network | None, uid: int) -> socket.socket:
    if network_of is not None and family != socket.AF_UNIX:
        return network_entry.create(network_of, family, kind, uid=uid)
    try:
        return socket.socket(family, kind)
    except OSError as error:
        raise _failure(error, target) from error


def address_of(
    target: Target, timeout_s: float, network_of: Network | None = None
) -> tuple[socket.AddressFamily, str | tuple[Any, ...]]:
    """Return family and address of a target; a name is resolved, except one of another network. Raises HostError, Expired."""
    if network_of is not None and not target.is_address:
        raise HostError(f"{target}: a name of another network namespace cannot be resolved from here")
    try:
        return bounded(timeout_s, _address, target)
    except (OSError, ValueError, UnicodeError) as error:
        raise _failure(error, target) from error


def _address(target: Target) -> tuple[socket.AddressFamily, str | tuple[Any, ...]]:
    if target.is_unix:
        return socket.AF_UNIX, target.path
    family, _, _, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
    return family, address


def _failure(error: OSError | ValueError, target: Target) -> HostError:
    if isinstance(error, TimeoutError) and error.errno is None:
        return Expired(f"{target}: no answer in time")
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    message = f"{target}: {os.strerror(number) if number else error}"
    if isinstance(error, FileNotFoundError | socket.gaierror):
        return Missing(message, errno=number)
    kind = Denied if isinstance(error, PermissionError) else HostError
    return kind(message, errno=number)
