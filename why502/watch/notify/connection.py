"""Connections that end by a time: name resolution, connecting, TLS, and a peer that sends one byte a second."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from why502.watch.notify.base import Undelivered

CONNECT_S = 5.0  # for one address
_LEAST_S = 0.001

Address = tuple[int, int, int, str, Any]  # as of getaddrinfo

_lookups: dict[tuple[str, int], Future[Sequence[Address]]] = {}
_lock = threading.Lock()


def addresses(host: str, port: int, deadline_s: float) -> Sequence[Address]:
    """Return the addresses of a name. Raises Undelivered, at the latest at the deadline (of the monotonic clock).

    The system's own lookup cannot be interrupted. So it runs in a thread of its own, one for each name.
    """
    key = host, port
    with _lock:
        lookup = _lookups.get(key)
        if lookup is None:
            lookup = _lookups[key] = Future()
            threading.Thread(target=_look_up, args=(key, lookup), name=f"lookup of {host}", daemon=True).start()
    try:
        return lookup.result(timeout=max(deadline_s - time.monotonic(), _LEAST_S))
    except TimeoutError as error:
        raise Undelivered(f"the name {host} did not resolve in time") from error
    except (OSError, UnicodeError) as error:
        raise Undelivered(f"the name {host} does not resolve") from error


def _look_up(key: tuple[str, int], lookup: Future[Sequence[Address]]) -> None:
    try:
        lookup.set_result(socket.getaddrinfo(*key, type=socket.SOCK_STREAM))
    except BaseException as error:
        lookup.set_exception(error)
    finally:
        with _lock:
            _lookups.pop(key, None)


def connect(host: str, port: int, deadline_s: float) -> socket.socket:
    """Return a connected socket that reads nothing after the deadline. Raises Undelivered."""
    reason = "no address"
    for family, kind, protocol, _, address in addresses(host, port, deadline_s):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(min(CONNECT_S, max(deadline_s - time.monotonic(), _LEAST_S)))
            plain.connect(address)
        except OSError as error:
            plain.close()
            reason = failure_of(error)
            continue
        timed = _until(deadline_s)(family, kind, protocol, fileno=plain.detach())
        timed.settimeout(max(deadline_s - time.monotonic(), _LEAST_S))  # of a TLS handshake as a whole
        return timed
    raise Undelivered(f"{host}:{port}: {reason}")


def _until(deadline_s: float) -> type[socket.socket]:
    class Timed(socket.socket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            self.settimeout(max(deadline_s - time.monotonic(), _LEAST_S))
            return super().recv_into(*args, **kwargs)

        def sendall(self, *args: Any, **kwargs: Any) -> None:
            self.settimeout(max(deadline_s - time.monotonic(), _LEAST_S))
            super().sendall(*args, **kwargs)

    return Timed


def tls(deadline_s: float, authorities: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """Return a context whose connections read nothing after the deadline. `authorities`: a file with those that are trusted,
    "" for the system's. `certificate` and `key`: files with our own. Raises Undelivered.
    """
    try:
        context = ssl.create_default_context(cafile=authorities or None)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        path = authorities if authorities and not certificate else " or ".join(filter(None, (authorities, certificate, key)))
        raise Undelivered(f"cannot use {path}: {failure_of(error)}") from error

    class TimedTLS(ssl.SSLSocket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            self.settimeout(max(deadline_s - time.monotonic(), _LEAST_S))
            return super().recv_into(*args, **kwargs)

        def send(self, *args: Any, **kwargs: Any) -> int:
            self.settimeout(max(deadline_s - time.monotonic(), _LEAST_S))
            return super().send(*args, **kwargs)

    context.sslsocket_class = TimedTLS
    return context


def failure_of(error: Exception) -> str:
    """Return the reason of an error of a connection, which has no address and no secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, OSError):
        return (error.strerror or "the connection failed").lower()
    return "the response could not be parsed"
