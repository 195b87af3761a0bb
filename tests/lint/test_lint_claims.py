"""The claims of rules about nginx at run time, checked with a real nginx and a backend that records what it receives."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")]

MAIN = """daemon off; master_process off; pid nginx.pid; error_log error.log; events {{}}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
upstream app {{ server 127.0.0.1:{port}; }}
{text} }}
"""


class Backend:
    """Accepts requests, records the head of each and the bytes after it, and answers 200."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                data = b""
                while b"\r\n\r\n" not in data and (part := connection.recv(65536)):
                    data += part
                self.seen.append(data)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.close()


def ask(directory: Path, text: str, port: int, request: bytes) -> bytes:
    """Return the response of an nginx with this content of `http`, which listens on `in.sock`."""
    (directory / "nginx.conf").write_text(MAIN.format(port=port, text=text))
    process = subprocess.Popen(["nginx", "-p", str(directory), "-c", "nginx.conf"], stderr=subprocess.DEVNULL, cwd=directory)
    try:
        end = time.monotonic() + 20
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            while client.connect_ex(str(directory / "in.sock")):
                assert process.poll() is None and time.monotonic() < end, (directory / "error.log").read_text()
                time.sleep(0.02)
            client.sendall(request)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer
    finally:
        process.terminate()
        process.wait(timeout=20)


def get(uri: str, host: str = "www.example.org") -> bytes:
    return f"GET {uri} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("n")  # short: the path of a socket is limited to 108 bytes


def server(text: str) -> str:
    return f"server {{ listen unix:in.sock; {text} }}"


def test_host_is_sent_twice(directory: Path, backend: Backend) -> None:
    text = server("location / { proxy_set_header Host $host; proxy_set_header Host $host; proxy_pass http://app; }")
    ask(directory, text, backend.port, get("/"))
    assert backend.seen[0].count(b"\r\nHost: www.example.org") == 2


def test_headers_are_not_inherited(directory: Path, backend: Backend) -> None:
    text = server("proxy_set_header X-One 1; location / { proxy_set_header X-Two 2; proxy_pass http://app; }")
    ask(directory, text, backend.port, get("/"))
    assert b"X-Two: 2" in backend.seen[0] and b"X-One" not in backend.seen[0]


def test_the_group_is_the_host(directory: Path, backend: Backend) -> None:
    ask(directory, server("location / { proxy_pass http://app; }"), backend.port, get("/"))
    assert b"\r\nHost: app\r\n" in backend.seen[0]


def test_a_slash_is_lost(directory: Path, backend: Backend) -> None:
    ask(directory, server("location /api/ { proxy_pass http://app/v1; }"), backend.port, get("/api/users"))
    assert backend.seen[0].startswith(b"GET /v1users ")


def test_a_variable_target_loses_the_uri(directory: Path, backend: Backend) -> None:
    ask(directory, server("location / { set $a app; proxy_pass http://$a/api/; }"), backend.port, get("/users/7"))
    assert backend.seen[0].startswith(b"GET /api/ ")


def test_an_authentication_request_announces_a_body_it_does_not_send(directory: Path, backend: Backend) -> None:
    rest = "location / { auth_request /auth; proxy_pass http://app/x; } location = /auth { proxy_pass http://app; }"
    request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    ask(directory, server(rest), backend.port, request)
    assert b"Content-Length: 5" in backend.seen[0] and backend.seen[0].endswith(b"\r\n\r\n")


def test_an_error_page_comes_from_the_failing_backend(directory: Path) -> None:
    text = server("error_page 502 /sorry.html; location / { proxy_pass http://app; }")
    with socket.socket() as nobody:  # bound and not listening: refused
        nobody.bind(("127.0.0.1", 0))
        answer = ask(directory, text, nobody.getsockname()[1], get("/"))
    assert b"<center>nginx" in answer
    assert (directory / "error.log").read_text().count("connect() failed") == 2  # for the request, and for its error page


def test_a_named_location_is_missing(directory: Path, backend: Backend) -> None:
    answer = ask(directory, server("location / { try_files /nothing @app; }"), backend.port, get("/"))
    assert answer.startswith(b"HTTP/1.1 500")
    assert "could not find named location" in (directory / "error.log").read_text()


def test_return_comes_before_locations(directory: Path, backend: Backend) -> None:
    answer = ask(directory, server("return 503; location / { proxy_pass http://app; }"), backend.port, get("/"))
    assert answer.startswith(b"HTTP/1.1 503") and backend.seen == []


def test_the_first_of_two_servers_has_the_name(directory: Path, backend: Backend) -> None:
    text = server("server_name a.example; return 204;") + server("server_name a.example; location / { proxy_pass http://app; }")
    answer = ask(directory, text, backend.port, get("/", "a.example"))
    assert answer.startswith(b"HTTP/1.1 204") and backend.seen == []


def test_upgrade_alone_is_not_enough(directory: Path, backend: Backend) -> None:
    text = server("location / { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_pass http://app; }")
    request = get("/").replace(b"Connection: close", b"Connection: upgrade\r\nUpgrade: websocket\r\nX-Last: 1", 1)
    ask(directory, text.replace("location", "keepalive_timeout 0; location"), backend.port, request)
    assert b"Connection: close" in backend.seen[0] or b"Connection: upgrade" not in backend.seen[0]


def test_static_files_are_caught(directory: Path, backend: Backend) -> None:
    text = server("location / { proxy_pass http://app; } location ~* \\.(css|js)$ { expires 1d; }")
    answer = ask(directory, text, backend.port, get("/a.css"))
    assert answer.startswith(b"HTTP/1.1 404") and backend.seen == []
