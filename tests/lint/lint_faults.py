"""Configurations with one fault each (tests/data/lint/faults.toml), the backends that they need, and a real nginx to run them."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from free_ports import free_port

DATA = Path(__file__).parent.parent / "data" / "lint" / "faults.toml"
PORTS = ("listen", "app", "other", "dead", "dead2", "closing", "slow", "big", "once", "stream", "tls")
FIXED = {name: 3000 + number for number, name in enumerate(PORTS)}  # for the linter, which connects to nothing

_TEMPORARY = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;"
_HEAD = "events {{ worker_connections {connections}; }}\nhttp {{\n{before}\n"
_AROUND = {
    "main": "{text}\n",
    "http": _HEAD + "{text}\n}}\n",
    "server": _HEAD + "server {{\nlisten 127.0.0.1:{{listen}};\nserver_name www.example.org;\n{text}\n}}\n}}\n",
    "location": _HEAD
    + "server {{\nlisten 127.0.0.1:{{listen}};\nserver_name www.example.org;\nlocation / {{\n{text}\n}}\n}}\n}}\n",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, and how nginx shows it. The fields are explained at the top of the data file."""

    name: str
    within: str
    text: str
    rules: list[str]
    refused: str = ""
    warns: str = ""
    start: bool = False  # refused at the start, not by `nginx -t`
    like: str = ""
    like_within: str = "server"
    sane: str = ""
    before: str = ""
    request: str = "GET /"
    host: str = "www.example.org"
    headers: list[str] = field(default_factory=list)
    body: str = ""
    size: int = 0
    times: int = 1
    parallel: int = 1
    spread: bool = False  # each request comes from another address
    first: bool = False  # `sees` is of the first request that the backend got
    first_byte: bool = True
    connections: int = 512
    status: int = 0
    answers: str = ""
    sees: str = ""
    lacks: str = ""
    logs: str = ""
    logs_lack: str = ""
    written: str = ""
    written_lacks: str = ""

    def configuration(self, ports: dict[str, int], text: str = "") -> str:
        """Return the whole file with this text (`like`, `sane`) in place of the fault's own, at these ports."""
        around = _AROUND[self.like_within if text and text == self.like else self.within]
        found = around.format(text=text or self.text, before=self.before, connections=self.connections)
        for name, port in ports.items():
            found = found.replace(f"{{{name}}}", str(port))
        return found


def load() -> list[Fault]:
    """Return all faults."""
    return [Fault(**fault) for fault in tomllib.loads(DATA.read_text())["fault"]]


class Backends:
    """Servers on their own ports, each with its own behaviour. `seen`: the bytes of each request, in order."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.failed_once = False
        self._listeners: list[socket.socket] = []
        self.ports = {name: free_port() for name in ("listen", "other")}
        for name in ("app", "closing", "slow", "big", "once", "stream", "tls"):
            self.ports[name] = self._serve(name)
        for name in ("dead", "dead2"):  # bound and not listening: refused
            held = socket.socket()
            held.bind(("127.0.0.1", 0))
            self._listeners.append(held)
            self.ports[name] = held.getsockname()[1]

    def _serve(self, name: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, name), daemon=True).start()
        return int(listener.getsockname()[1])

    def _accept(self, listener: socket.socket, name: str) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection, name), daemon=True).start()

    def _answer(self, connection: socket.socket, name: str) -> None:
        with connection:
            connection.settimeout(5)
            try:
                data = connection.recv(65536)
                self.seen.append(data)
                if name == "closing" or (name == "tls" and data[:1] != b"\x16"):
                    return
                if name == "slow":
                    time.sleep(1)  # this backend is slow
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n"
                if name == "big":
                    head += b"Set-Cookie: a=" + b"x" * 6000 + b"\r\n"
                if name == "once" and not self.failed_once:
                    self.failed_once = True
                    head = head.replace(b"200 OK", b"500 Oops")
                if name == "stream":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
                    connection.recv(1)  # until the proxy disconnects
                    return
                connection.sendall(head + b"\r\nhello")
            except OSError:
                return

    def close(self) -> None:
        """Stop all of them."""
        for listener in self._listeners:
            listener.close()


@contextmanager
def nginx(directory: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx in the foreground with a configuration."""
    head = "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
    (directory / "nginx.conf").write_text(head + text.replace("http {", "http { access_log off; " + _TEMPORARY, 1))
    process = subprocess.Popen(["nginx", "-p", str(directory), "-c", "nginx.conf"], stderr=subprocess.PIPE, cwd=directory)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def configuration_test(directory: Path, text: str) -> tuple[bool, str]:
    """Return whether `nginx -t` accepts the configuration, and its output."""
    (directory / "nginx.conf").write_text("pid nginx.pid; error_log stderr;\n" + text.replace("http {", "http {" + _TEMPORARY, 1))
    command = ["nginx", "-t", "-p", str(directory), "-c", "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=directory)
    return done.returncode == 0, done.stderr


def connect(port: int, process: subprocess.Popen[bytes], source: str = "127.0.0.1") -> socket.socket:
    """Return a connection to nginx as soon as it listens."""
    end = time.monotonic() + 20
    while True:
        client = socket.socket()
        client.settimeout(10)
        client.bind((source, 0))
        if client.connect_ex(("127.0.0.1", port)) == 0:
            return client
        client.close()
        assert process.poll() is None, process.stderr.read() if process.stderr else b""
        assert time.monotonic() < end
        time.sleep(0.02)


def request_of(fault: Fault, port: int) -> bytes:
    """Return the request that shows a fault, for an nginx that listens on this port."""
    body = fault.body or "x" * fault.size
    lines = [
        f"{fault.request} HTTP/1.1",
        f"Host: {fault.host}".replace("{listen}", str(port)),
        *(line.replace("{long}", "c=" + "x" * 1500) for line in fault.headers),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if not any(line.startswith("Connection:") for line in fault.headers):
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def received(client: socket.socket) -> bytes:
    """Return all bytes until the connection ends."""
    answer = b""
    while True:
        try:
            part = client.recv(65536)
        except ConnectionResetError:
            return answer
        if not part:
            return answer
        answer += part
        head, found, body = answer.partition(b"\r\n\r\n")
        if found and b"Content-Length: %d\r\n" % len(body) in head + b"\r\n":
            return answer
