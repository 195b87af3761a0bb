"""The HTTP server of `/metrics` and `/healthz`. Few requests are served at once, and each is bounded in time."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from why502.model.errors import Why502Error
from why502.render.words import safe
from why502.watch import listening

AT_ONCE = 4  # connections; a scraper has one
LONGEST_S = 10.0  # of a connection, from accept to its last byte: Prometheus gives up after 10 s too
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Server(ThreadingMixIn, TCPServer):
    """Serves until `stop`.

    `where`: an address and a port, or the path of a Unix socket. `metrics`: the exposition, as OpenMetrics or as text.
    `stuck`: the parts of the daemon that do not progress. Raises Why502Error if it cannot listen there.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(
        self,
        where: tuple[str, int] | Path,
        metrics: Callable[[bool], bytes],
        stuck: Callable[[], Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        self._path = where if isinstance(where, Path) else None
        self.address_family = listening.family_of(where)
        if isinstance(where, Path):
            listening.remove_left_over(where, "metrics.listen", "Choose another path in [metrics], or stop the other daemon.")
        try:
            super().__init__(str(where) if isinstance(where, Path) else where, partial(_Handler, metrics, stuck))  # type: ignore[arg-type]
            if isinstance(where, Path):
                where.chmod(0o660)
        except OSError as error:
            raise Why502Error(
                f"metrics.listen: cannot listen on {listening.words(where)}: {(error.strerror or str(error)).lower()}",
                'Choose another address in [metrics], or "" for none.',
            ) from error

    def start(self) -> None:
        """Begin to serve, in a thread."""
        threading.Thread(target=self.serve_forever, args=(0.2,), name="metrics", daemon=True).start()

    def stop(self) -> None:
        """End the service, and connections that are open."""
        self.shutdown()
        self.server_close()
        self._end(self._clock() + self._longest_s)
        if self._path:
            self._path.unlink(missing_ok=True)

    @property
    def open_connections(self) -> int:
        """How many connections are open now. There is room for `AT_ONCE`."""
        with self._lock:
            return len(self._open)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Return whether there is room for one more connection."""
        with self._lock:
            if len(self._open) >= AT_ONCE:
                return False
            self._open[request] = self._clock()
            return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that take too long, also of clients that send or read a byte now and then."""
        self._end(self._clock())

    def _end(self, now_s: float) -> None:
        with self._lock:
            for request, since_s in self._open.items():
                if now_s - since_s >= self._longest_s:
                    with suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report our own errors; a client that went away is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_version = "why502"
    sys_version = ""
    timeout = LONGEST_S

    def __init__(self, metrics: Callable[[bool], bytes], stuck: Callable[[], Sequence[str]], *args: Any) -> None:
        self._metrics = metrics
        self._stuck = stuck
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            is_openmetrics = wants_openmetrics(self.headers.get("Accept", ""))
            try:
                body = self._metrics(is_openmetrics)
            except Why502Error as error:  # the store cannot be read now
                self._answer(503, f"{safe(error.message)}\n".encode())
                return
            self._answer(200, body, _OPENMETRICS if is_openmetrics else _TEXT)
        elif path == "/healthz":
            stuck = self._stuck()
            words = f"not progressing: {', '.join(map(safe, stuck))}" if stuck else "ok"
            self._answer(503 if stuck else 200, f"{words}\n".encode())
        else:
            self._answer(404, b"The paths are /metrics and /healthz.\n")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: the request is not ours."""


def wants_openmetrics(accept: str) -> bool:
    """Return whether a client accepts OpenMetrics (the header Accept). Prometheus asks for it first, curl for anything."""
    return any(part.partition(";")[0].strip().lower() == "application/openmetrics-text" for part in accept.split(","))
