"""Line: an open connection with a deadline that remembers the first bytes of a response. Failed: how an attempt ended."""

from __future__ import annotations

import errno
import time

from why502.host.base import Connection, Host
from why502.model.errors import Denied, Expired, HostError, Missing
from why502.model.logs import Symptom
from why502.probing.request import Request

SEEN_BYTES = 4096

CONNECTING = {
    errno.ECONNREFUSED: Symptom.CONNECT_REFUSED,
    errno.ETIMEDOUT: Symptom.CONNECT_TIMED_OUT,
    errno.ECONNRESET: Symptom.CONNECT_RESET,
    errno.ECONNABORTED: Symptom.CONNECT_RESET,
    errno.EACCES: Symptom.CONNECT_DENIED,
    errno.EPERM: Symptom.CONNECT_DENIED,
    errno.EHOSTUNREACH: Symptom.HOST_UNREACHABLE,
    errno.ENETUNREACH: Symptom.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Symptom.HOST_UNREACHABLE,
    errno.ENETDOWN: Symptom.HOST_UNREACHABLE,
    errno.ENOENT: Symptom.SOCKET_PATH_MISSING,
    errno.EAGAIN: Symptom.QUEUE_FULL,
    errno.EADDRNOTAVAIL: Symptom.NO_LOCAL_PORT,
}
OUR_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)  # shortages on our side; they say nothing about the target


class Failed(Exception):
    """The attempt did not end in a valid answer."""

    def __init__(
        self,
        symptom: Symptom,
        detail: str = "",
        *,
        errno: int | None = None,
        header_bytes: int | None = None,
        status: int | None = None,
        certificate: str = "",
        speaks: str = "",
    ) -> None:
        super().__init__(detail or symptom)
        self.symptom = symptom
        self.detail = detail
        self.errno = errno
        self.header_bytes = header_bytes
        self.status = status
        self.certificate = certificate
        self.speaks = speaks


class Line:
    """A connection. `receive` raises Expired at the deadline (monotonic seconds) and HostError if it broke."""

    def __init__(self, connection: Connection, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.first_at: float | None = None
        self.header_at: float | None = None  # when the header was complete
        self.seen = b""  # the first bytes received
        self.broke: int | None = None  # errno of a failed send; data received before it can still be read

    def send(self, data: bytes) -> None:
        """Send; if the peer has closed the connection, the next receive shows it."""
        try:
            self.connection.send(data)
        except HostError as error:
            self.broke = number(error)
            if self.broke not in (errno.EPIPE, errno.ECONNRESET):
                raise

    def receive(self) -> bytes:
        """Return the next bytes received; b"" at the end."""
        data = self._pull()
        if data and self.first_at is None:
            self.first_at = time.monotonic()
        if len(self.seen) < SEEN_BYTES:
            self.seen += data[:SEEN_BYTES]
        return data

    def mark_header(self) -> None:
        """Record that the header is complete."""
        self.header_at = time.monotonic()

    def close(self) -> None:
        """Close it, whatever its state."""
        try:
            self.connection.close()
        except HostError:
            pass

    def _pull(self) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Expired("the probe time budget was used up")
        return self.connection.receive(timeout_s=left)


def connect(host: Host, request: Request) -> Line:
    """Return an open line. Raises Failed if the target is at fault, HostError if our probe is.

    We connect with our own rights: the modes of the socket's path show whether the worker's user may connect.
    """
    target = request.address or request.target
    deadline = time.monotonic() + request.connect_s
    try:
        return Line(host.connect(target, timeout_s=request.connect_s, network_of=request.network_of), deadline)
    except Expired as error:
        message = f"no connection within {request.connect_s:g} s, the probe limit"
        if request.route_connect_s < request.connect_s:
            message += f"; the route waits {request.route_connect_s:g} s"
        raise Failed(Symptom.CONNECT_TIMED_OUT, message) from error
    except HostError as error:
        met = number(error)
        if met is None or met in OUR_OWN:
            raise
        raise Failed(CONNECTING.get(met, Symptom.CONNECT_FAILED), error.reason, errno=met) from error


def number(error: HostError) -> int | None:
    """Return the errno behind an error; None if the system gave none."""
    if error.errno is not None:
        return error.errno
    if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
        return error.__cause__.errno
    return errno.ENOENT if isinstance(error, Missing) else errno.EACCES if isinstance(error, Denied) else None
