"""Normal users: a few clients that each send one request after another, with pauses, and give up when it takes too long."""

from __future__ import annotations

import base64
import http.client
import os
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence

from why502.lab.stacks.stack import Route

THINK_S = (0.15, 0.6)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
)


class Traffic:
    """The users of a scene. `outcomes` counts what they met: (path, status), where 0 is no answer at all."""

    def __init__(self, address: str, routes: Sequence[Route], users: int, sources: Sequence[str], cancels: bool = False) -> None:
        self.address = address
        self.routes = list(routes)
        self.patience_s = 25.0
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.words: Counter[str] = Counter()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(
                target=self._user, args=(number, sources[number % len(sources)], cancels and number % 3 == 0), daemon=True
            )
            for number in range(users)
        ]

    def start(self) -> None:
        """Let them come."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let them go; those that still wait for an answer are not waited for."""
        self._ended.set()

    def failures(self) -> int:
        """Return how many requests came to nothing or to a 5xx."""
        with self._lock:
            return sum(count for (_, status), count in self.outcomes.items() if status == 0 or status >= 500)

    def total(self) -> int:
        """Return how many requests have ended."""
        with self._lock:
            return self.outcomes.total()

    def _user(self, number: int, source: str, cancels: bool) -> None:
        dice = random.Random(number)
        while not self._ended.is_set():
            routes = self.routes
            route = dice.choices(routes, [each.weight for each in routes])[0]
            status = self.ask(route, source, AGENTS[number % len(AGENTS)], cancels and dice.random() < 0.3)
            if not self._ended.is_set():
                with self._lock:
                    self.outcomes[route.path, status] += 1
            self._ended.wait(dice.uniform(*THINK_S))

    def ask(self, route: Route, source: str = "", agent: str = AGENTS[0], breaks_off: bool = False) -> int:
        """Make one request, and return its status; 0 where none came whole in the time a user has."""
        try:
            if route.websocket:
                return self._websocket(route, source)
            return self._request(route, source, agent, breaks_off)
        except (OSError, http.client.HTTPException, ValueError) as error:
            with self._lock:
                self.words[f"{type(error).__name__}: {error}"[:120]] += 1
            return 0

    def _request(self, route: Route, source: str, agent: str, breaks_off: bool) -> int:
        origin = (source, 0) if source else None
        connection: http.client.HTTPConnection
        if route.tls:
            context = ssl._create_unverified_context()
            connection = _NamedTLS(self.address, route.port, timeout=self.patience_s, source_address=origin, context=context)
            connection.name = route.host
        else:
            connection = http.client.HTTPConnection(self.address, route.port, timeout=self.patience_s, source_address=origin)
        try:
            body = b"x" * route.body_bytes if route.body_bytes else (b"" if route.method == "POST" else None)
            headers = {"Host": route.host, "User-Agent": agent, "Accept": "text/html", "Connection": "close", **route.headers}
            end = time.monotonic() + self.patience_s
            connection.request(route.method, route.path, body, headers)
            answer = connection.getresponse()
            if breaks_off:
                answer.read(10)
                return answer.status
            announced, size = answer.length, 0  # read(n) does not complain about a body that is cut
            while part := answer.read(65536):
                size += len(part)
                if time.monotonic() > end:
                    raise TimeoutError("the body takes too long")
            if announced is not None and size < announced and route.method != "HEAD":
                raise ConnectionError(f"the body was cut: {answer.status}")
            return answer.status
        finally:
            connection.close()

    def _websocket(self, route: Route, source: str) -> int:
        """Upgrade, send a ping each half second for a while, and expect answers (RFC 6455)."""
        address = (self.address, route.port)
        with socket.create_connection(address, timeout=self.patience_s, source_address=(source, 0) if source else None) as wire:
            key = base64.b64encode(os.urandom(16)).decode()
            lines = [f"GET {route.path} HTTP/1.1", f"Host: {route.host}", "Upgrade: websocket", "Connection: Upgrade"]
            lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *(f"{k}: {v}" for k, v in route.headers.items())]
            wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = b""
            while b"\r\n\r\n" not in head:
                more = wire.recv(4096)
                if not more:
                    raise ConnectionError("closed in the handshake")
                head += more
            status = int(head.split()[1])
            if status != 101:
                return status
            for _ in range(6):
                wire.sendall(b"\x89\x80" + os.urandom(4))
                if self._ended.wait(0.5):
                    break
                if not wire.recv(4096):
                    raise ConnectionError("closed in the middle")
            return 101


class _NamedTLS(http.client.HTTPSConnection):
    """A TLS connection to an address under a name of its own (SNI)."""

    name = ""

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]
        self.sock = context.wrap_socket(self.sock, server_hostname=self.name)
