"""A real nginx in a directory of its own on loopback, with backends that misbehave, for tests of what it logs."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from free_ports import free_port

NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

MAIN = """
{user} daemon off; master_process on; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log {level};
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  log_format w {escape} '{format}';
  access_log {directory}/access.log w;
  {http}
}}
"""


@contextlib.contextmanager
def backend(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yield the port of a server that reads a request's begin and lets `answer` do the rest; closed afterwards."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    stop = threading.Event()

    def one(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.settimeout(5)
            peer.recv(65536)
            answer(peer)

    def serve() -> None:
        while not stop.is_set():
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        stop.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def message(body: bytes = b"ok", status: str = "200 OK") -> Callable[[socket.socket], None]:
    """Return an answer of a sound backend."""
    return lambda peer: peer.sendall(
        b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)
    )


def closes(peer: socket.socket) -> None:
    """Close without an answer."""


def resets(peer: socket.socket) -> None:
    """Reset the connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cuts(peer: socket.socket) -> None:
    """Announce more of a body than is sent."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")


def hangs(peer: socket.socket) -> None:
    """Say nothing until the other side gives up."""
    peer.settimeout(10)
    peer.recv(1)


def mumbles(peer: socket.socket) -> None:
    """Answer in no HTTP at all."""
    peer.sendall(b"hello\n")


def wait(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Return once the condition holds; fail after the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Nginx:
    """The running server. `port` is where it listens."""

    def __init__(self, directory: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.port = port
        self.process = process

    def get(self, path: str, *, method: str = "GET", timeout_s: float = 10.0) -> int | None:
        """Return the status of an answer; None where there was no whole one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def logged(self, lines: int, log: str = "access.log") -> None:
        """Wait until a log has so many lines."""
        wait(lambda: (self.directory / log).read_bytes().count(b"\n") >= lines)


@contextlib.contextmanager
def nginx(
    directory: Path, http_block: str, *, format: str, escape: str = "", level: str = "error", tz: str = "UTC"
) -> Iterator[Nginx]:
    """Run nginx with this http block, in which PORT is where it listens; it is stopped and waited for afterwards."""
    assert NGINX is not None
    directory.chmod(0o755)
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        MAIN.format(
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            level=level,
            format=format,
            escape=escape,
            http=http_block.replace("PORT", f"127.0.0.1:{port}"),
        )
    )
    process = subprocess.Popen(
        [NGINX, "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TZ": tz},
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
            time.sleep(0.01)
        yield Nginx(directory, port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()
