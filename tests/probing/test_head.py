"""The header rules: cases written by hand, and randomly mutated answers judged by a real nginx."""

from __future__ import annotations

import random
import socket

import pytest

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.probing import http1
from why502.probing.head import parse, shown
from why502.probing.line import Failed
from why502.probing.request import Request
from why502.probing.speech import identify

OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Y:\r\nContent-Length: 2\r\n\r\n"
NGINX_BUFFER = 4096


def symptom(data: bytes, **how: bool) -> Symptom | None:
    try:
        parse(data, **how)
    except Failed as failed:
        return failed.symptom
    return None


def test_a_whole_header():
    head = parse(OK + b"hi")
    assert head is not None
    assert (head.status, head.size_bytes, head.get(b"content-length"), head.get(b"x-y")) == (200, len(OK), b"2", b"")


def test_every_part_of_it_asks_for_more():
    assert all(parse(OK[:length]) is None for length in range(1, len(OK)))


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.0 403.1 Forbidden\r\n", b"HTTP/2.0  200 OK\r\n"]
)
def test_status_lines_that_pass(line):
    assert parse(line + b"\r\n") is not None


@pytest.mark.parametrize(
    "line", [b"hello\r\n", b"HTTP/3.x OK\r\n", b"http/1.1 200 OK\r\n", b"HTTP/1.1 20 OK\r\n", b"HTTP/1.1 2000\r\n", b"\x15\x03"]
)
def test_status_lines_that_are_refused(line):
    assert symptom(line) is Symptom.NO_STATUS_LINE


@pytest.mark.parametrize("line", [b"X: a\x00b", b"X y: 1", b": 1", b" folded: 1", b"X: 1\r2"])
def test_lines_that_are_refused(line):
    assert symptom(b"HTTP/1.1 200 OK\r\n" + line) is Symptom.HEADER_INVALID


@pytest.mark.parametrize("line", [b"no-colon", b"X_y: 1", b"X: \x80\xff", b"HTTP/1.1 200 OK again", b"(x): 1", b"X: 1\r"])
def test_odd_lines_that_pass(line):
    assert parse(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n") is not None


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Content-Length: two\r\n",
    ],
)
def test_framing_is_judged_only_by_newer_versions(lines):
    data = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    assert symptom(data, is_strict=True) is Symptom.HEADER_INVALID
    assert symptom(data) is None


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"Status: 404 Not Found\r\n", 404), (b"Location: /x\r\n", 302), (b"X: 1\r\n", 200), (b"Status: ok\r\n", None)],
)
def test_cgi_headers(header, status):
    if status is None:
        assert symptom(header + b"\r\n", needs_status_line=False) is Symptom.HEADER_INVALID
    else:
        head = parse(header + b"\r\n", needs_status_line=False)
        assert head is not None
        assert head.status == status


def test_no_byte_reaches_a_terminal_as_it_is():
    assert shown(b'a"\x1b[31m\xff\\') == '"a"\\x1b[31m\\xff\\x5c"'
    assert len(shown(b"\0" * 1000)) == 2 + 4 * 64


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"HTTP/1.1 200 OK", "http"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", "h2"),
        (b"\x01\x0a\x00\x00\x00\x10\x00\x00", "fastcgi"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "ssh"),
        (b"220 mail.example.com ESMTP Postfix\r\n", "smtp"),
        (b"-ERR unknown command 'GET', with args\r\n", "redis"),
        (b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00", "mysql"),
        (b"E\x00\x00\x00\x8cSFATAL\x00", "postgresql"),
        (b"ERROR\r\n", "memcached"),
        (b"hello", ""),
        (b"", ""),
    ],
)
def test_protocols_of_first_bytes(data, name):
    assert identify(data) == name


@pytest.mark.real
def test_nginx_judges_alike(directory, nginx, serve, ask):
    """Every answer is sent to nginx and to our probe: refused, passed on unchanged, or passed on as HTTP."""
    answers = list(bent(random.Random(502), 150))
    asked: list[bytes] = [b""]

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(asked[0])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    backend = serve(answer, directory / "app")
    nginx("server { listen unix:$F/front; location / { proxy_pass http://unix:$F/app; } }", "front")
    for asked[0] in answers:
        found = ask(backend, is_strict=False, buffer_bytes=NGINX_BUFFER)
        assert verdict(found.symptom) == nginx_says(Target(path=str(directory / "front"))), (asked[0], found)


def bent(chance: random.Random, count: int):
    lines = [b"Server: x", b"X-A: b c", b"Content-Length: 2", b"Set-Cookie: a=b; Path=/", b"X:", b"odd", b"HTTP/1.1 200 OK"]
    for _ in range(count):
        status = chance.choice([b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 404 Not Found"])
        data = bytearray(b"\r\n".join([status, *chance.choices(lines, k=4)]) + b"\r\n\r\nhi")
        for _ in range(chance.choice((0, 1, 1, 2))):
            at = chance.randrange(len(data))
            data[at : at + chance.choice((0, 1))] = chance.choice(
                [b"\0", b" ", b":", b"\r", b"\n", b"\x7f", b"/", b"\xff", b"9", b"_"]
            )
        if chance.random() < 0.1:
            data = data.replace(b"Server: x", b"Server: " + b"y" * chance.choice((3900, 4100, 9000)))
        yield bytes(data)


def verdict(met: Symptom | None) -> str:
    if met in (Symptom.HEADER_INVALID, Symptom.HEADER_TOO_BIG, Symptom.CLOSED_BEFORE_HEADER):
        return "refused"
    return "as it is" if met is Symptom.NO_STATUS_LINE else "http"


def nginx_says(front: Target) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(front.path)
        client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        data = b""
        while part := client.recv(65536):
            data += part
    if data.startswith(b"HTTP/1.1 502 Bad Gateway"):
        return "refused"
    return "http" if data.startswith(b"HTTP/1.1 ") and b"\r\nServer: nginx" in data else "as it is"


class _Parts:
    """What a probe reads: a header in parts."""

    broke: int | None = None

    def __init__(self, data: bytes, size: int) -> None:
        self.parts = [data[at : at + size] for at in range(0, len(data), size)]

    def receive(self) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    def mark_header(self) -> None:
        """It is not asked when."""


def test_a_long_header_is_not_parsed_again_with_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caddy and Traefik take headers of 10 MiB: the time must not grow with the square of the size."""
    read: list[int] = []
    monkeypatch.setattr(http1, "parse", lambda data, **options: read.append(len(data)) or parse(data, **options))
    data = b"HTTP/1.1 200 OK\r\n" + b"Set-Cookie: abcdefghijklmnopqrstuvwxyz\r\n" * 50_000 + b"Content-Length: 0\r\n\r\n"
    request = Request(target=Target(host="127.0.0.1", port=1), buffer_bytes=10 << 20)
    answer = http1.read(_Parts(data, 16384), request)  # type: ignore[arg-type]
    assert (answer.status, answer.header_bytes) == (200, len(data))
    assert sum(read) < 4 * len(data)
