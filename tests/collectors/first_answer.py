"""Whether a server that was just started serves: its port listens before its workers run."""

from __future__ import annotations

import socket
from contextlib import suppress


def answers(port: int) -> bool:
    """Whether a worker answers or hangs up; what it is sent is no request, so nothing behind it is asked for a page."""
    with socket.socket() as asking:
        asking.settimeout(5)
        if asking.connect_ex(("127.0.0.1", port)):
            return False
        with suppress(ConnectionError):
            asking.sendall(b"no request\r\n\r\n")
            asking.recv(1)
        return True
