"""Serves the application with uvicorn, on one address or Unix socket, until a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from why502.model.errors import Why502Error
from why502.serve.app import application
from why502.serve.security import HEAD_BYTES
from why502.serve.settings import Settings
from why502.watch import listening

HEAD_S = 10.0  # within which the head of a request must arrive
CONNECTIONS = 512
LEAVE_S = 2.0  # for requests that are worked on at the end


class Protocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose next request does not arrive in time: uvicorn waits for the rest of one forever."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._head is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def serve(settings: Settings, ready: Callable[[str], None], listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. `ready` is told the address. `listener`: a socket that listens already.

    Raises Why502Error if it cannot listen.
    """
    listener = listener or listen(settings.listen)
    logging.basicConfig(format="why502: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        application(settings),
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=round(LEAVE_S),
        reset_contextvars=True,
    )
    try:
        server = _Server(config, lambda: ready(_address(settings, listener)))
        server.run(sockets=[listener])
    finally:
        listener.close()
        if isinstance(settings.listen, Path):
            settings.listen.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, *args: Any, **options: Any) -> None:
        """Start, and say so."""
        await super().startup(*args, **options)
        self._ready()


def _address(settings: Settings, listener: socket.socket) -> str:
    if settings.url or isinstance(settings.listen, Path):
        return settings.address
    host, port = settings.listen[0], listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(where: tuple[str, int] | Path) -> socket.socket:
    """Return a socket that listens. A Unix socket is open to its owner and group. Raises Why502Error."""
    if isinstance(where, Path):
        listening.remove_left_over(where, "--listen", "Choose another path, or stop the other server.")
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, a page waits 40 ms for an acknowledgement.
    protocol = 0 if isinstance(where, Path) else socket.IPPROTO_TCP
    listener = socket.socket(listening.family_of(where), socket.SOCK_STREAM, protocol)
    try:
        if isinstance(where, Path):
            before = os.umask(0o117)
            try:
                listener.bind(str(where))
            finally:
                os.umask(before)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Why502Error(
            f"cannot listen on {listening.words(where)}: {(error.strerror or str(error)).lower()}",
            "Choose another address with --listen.",
        ) from error
    return listener
