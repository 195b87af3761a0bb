"""Clients of a scene: plain sockets, so that they can also do what no library would."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

LEFT = 499
NO_HTTP = 9
NO_ANSWER = 0


def request(
    address: tuple[str, int],
    path: str = "/",
    *,
    host: str = "shop.example",
    method: str = "GET",
    body: bytes = b"",
    headers: str = "",
    agent: str = "Mozilla/5.0",
    patience_s: float = 8.0,
    source: str = "127.0.0.1",
    raw: bytes = b"",
    pause_s: float = 0.0,
) -> int:
    """Send one request and return its status: 499 when our patience ended first, 9 for an answer that is no HTTP, 0 for none.

    `headers` are further header lines, each with its CRLF. `raw` is sent instead of a request.
    `pause_s` is waited before the answer is read, as a slow client would.
    """
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n{length}{headers}\r\n"
    end = time.monotonic() + patience_s
    try:
        with socket.create_connection(address, patience_s, (source, 0)) as connection:
            connection.sendall(raw or head.encode() + body)
            time.sleep(pause_s)
            answer = _read(connection, end)
    except TimeoutError:
        return LEFT
    except OSError:
        return NO_ANSWER
    if not answer:
        return NO_ANSWER
    match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(match[1]) if match else NO_HTTP


def _read(connection: socket.socket, end: float) -> bytes:
    """Return the first 64 bytes of an answer that is read to its end. Raises TimeoutError at `end` (monotonic seconds)."""
    answer = b""
    try:
        while time.monotonic() < end:
            connection.settimeout(max(0.001, end - time.monotonic()))
            if not (part := connection.recv(1 << 16)):
                return answer
            answer = answer or part[:64]
            if answer.startswith(b"HTTP/1.1 101"):
                return answer
    except ConnectionResetError:
        return answer
    raise TimeoutError


def spread(send: Callable[[], int], times: int, at_once: int) -> list[int]:
    """Call `send` a number of times, `at_once` calls at the same time; return what they return."""
    if at_once == 1:
        return [send() for _ in range(times)]
    with ThreadPoolExecutor(at_once) as pool:
        return [task.result() for task in [pool.submit(send) for _ in range(times)]]
