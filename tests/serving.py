"""A scripted server for tests of what asks servers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from why502.model.target import Target

Handler = Callable[[socket.socket], None]
Serve = Callable[..., Target]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server with a connection handler; bytes are sent as the answer to any request."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(handler: Handler | bytes, path: Path | None = None) -> Target:
        listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        listener.bind(str(path) if path else ("127.0.0.1", 0))
        listener.listen(64)
        listeners.append(listener)
        threads.append(threading.Thread(target=accepting, args=(listener, handler), daemon=True))
        threads[-1].start()
        return Target(path=str(path)) if path else Target(host="127.0.0.1", port=listener.getsockname()[1])

    yield start
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)


def accepting(listener: socket.socket, handler: Handler | bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=handled, args=(connection, handler), daemon=True).start()


def handled(connection: socket.socket, handler: Handler | bytes) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(10)
        if not isinstance(handler, bytes):
            handler(connection)
            return
        connection.recv(65536)
        connection.sendall(handler)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):  # with an unread request close() would send a reset
            pass
