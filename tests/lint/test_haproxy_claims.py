"""The claims of rules about HAProxy at run time, checked with a real one: every bind and server is a Unix socket."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from haproxy_process import running

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")]

CONFIG = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    retries 1
frontend short
    bind unix@{at}/short.sock
    default_backend short
backend short
    timeout server 30
    server a unix@{at}/hangs
frontend unchecked
    bind unix@{at}/unchecked.sock
    default_backend unchecked
backend unchecked
    option httpchk GET /up
    server a unix@{at}/answers
    server b unix@{at}/absent
frontend empty
    bind unix@{at}/empty.sock
    default_backend empty
backend empty
frontend twice
    bind unix@{at}/twice.sock
    default_backend twice
backend twice
    retry-on all-retryable-errors
    server a unix@{at}/closes
frontend unreached
    bind unix@{at}/unreached.sock
    use_backend empty
    use_backend unchecked if TRUE
frontend unnamed
    bind unix@{at}/unnamed.sock
    use_backend unchecked if {{ path /other }}
backend unused
    server a unix@{at}/unused
frontend same
    bind unix@{at}/same.sock
    default_backend same
backend same
    option redispatch 1
    retry-on empty-response
    server a unix@{at}/spare
    server b unix@{at}/spare
"""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def request(connection: socket.socket) -> bytes:
    """Return the head of a request."""
    data = b""
    while b"\r\n\r\n" not in data and (part := connection.recv(65536)):
        data += part
    return data


def served(path: Path, answer: Callable[[socket.socket], None], seen: list[bytes]) -> socket.socket:
    """Return a listener whose connections are read, then given to a function."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                seen.append(request(connection))
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[tuple[Path, dict[str, list[bytes]]]]:
    """Yield the directory of its sockets, and the requests that each backend has seen."""
    seen: dict[str, list[bytes]] = {name: [] for name in ("hangs", "answers", "closes", "unused", "spare")}
    answers: dict[str, Callable[[socket.socket], None]] = {
        "hangs": lambda connection: connection.recv(1) and None,
        "answers": lambda connection: connection.sendall(OK),
        "closes": lambda _: None,
        "unused": lambda connection: connection.sendall(OK),
        "spare": lambda _: None,
    }
    listeners = [served(tmp_path / name, answer, seen[name]) for name, answer in answers.items()]
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(at=tmp_path))
    with running(config, tmp_path / "same.sock"):
        yield tmp_path, seen
    for listener in listeners:
        listener.close()


def asked(at: Path, name: str, method: str = "GET") -> int:
    """Return the status of a request through a frontend."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(at / f"{name}.sock"))
        client.sendall(f"{method} / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        return int(client.recv(65536).split()[1])


def test_what_the_rules_say_happens(haproxy: tuple[Path, dict[str, list[bytes]]]) -> None:
    at, seen = haproxy
    assert asked(at, "short") == 504  # 301
    assert {asked(at, "unchecked") for _ in range(4)} == {200, 503}  # 302, 303
    assert all(b"/up" not in head for head in seen["answers"])  # 302: no check ran
    assert asked(at, "empty") == 503  # 308
    assert asked(at, "unreached") == 503  # 306: the first rule takes it
    assert asked(at, "twice", "POST") == 502
    assert [head.split()[0] for head in seen["closes"]] == [b"POST", b"POST"]  # 314
    assert asked(at, "unnamed") == 503  # 309: the backend that could answer is named by no rule
    assert seen["unused"] == []
    assert asked(at, "same") == 502  # 311: the retry on "the other" server reaches the same application
    assert len(seen["spare"]) == 2
