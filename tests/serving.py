"""Servers for tests of what asks them: a scripted one, and programs in a directory of their own."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from free_ports import free_port

from why502.model.target import Target

Handler = Callable[[socket.socket], None]
Serve = Callable[..., Target]
Start = Callable[..., None]


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


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path, since a unix socket's path is limited to 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="w5"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Return a function that starts a program and waits until its unix sockets accept; it is stopped at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, sockets: tuple[Path, ...]) -> None:
        log = (directory / "output").open("ab")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        log.close()
        running.append(process)
        until = time.monotonic() + 20
        for path in sockets:
            while not accepts(path):
                assert process.poll() is None, (directory / "output").read_text()
                assert time.monotonic() < until, (directory / "output").read_text()
                time.sleep(0.02)

    yield run
    for process in running:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.fixture
def nginx(directory: Path, start: Start) -> Callable[..., None]:
    """Return a function that starts nginx with the given servers; it listens on unix sockets of the directory."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("needs nginx")

    def run(servers: str, *sockets: str) -> None:
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (directory / name).mkdir(exist_ok=True)
        temporary = " ".join(f"{name}_temp_path {directory}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        text = f"""{user} daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log info;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {directory}/body; {temporary}
{servers.replace("$F", str(directory))}
}}
"""
        (directory / "nginx.conf").write_text(text)
        start(
            program,
            "-p",
            str(directory),
            "-c",
            str(directory / "nginx.conf"),
            sockets=tuple(directory / name for name in sockets),
        )

    return run


@contextlib.contextmanager
def answering(body: bytes = b"") -> Iterator[http.server.ThreadingHTTPServer]:
    """Yield a server on a free port of 127.0.0.1 that answers every GET and HEAD with 200 and this body."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
