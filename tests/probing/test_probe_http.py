"""HTTP backends that misbehave in every way a raw socket can, and the probe's result for each."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import threading

import pytest

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.probing.http1 import compose
from why502.probing.request import PROXY_HEADERS, Request, Tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BIG = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000 + b"\r\n\r\n"


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_proper_answer(serve, ask):
    found = ask(serve(OK))
    assert (found.symptom, found.status, found.header_bytes, found.speaks) == (None, 200, len(OK) - 2, "")
    assert found.request == "GET /"
    assert found.first_byte_s <= found.total_s
    assert found.first_bytes.startswith("HTTP/1.1 200 OK\\x0d\\x0a")


@pytest.mark.parametrize(
    ("answer", "symptom", "speaks"),
    [
        (b"", Symptom.CLOSED_BEFORE_HEADER, ""),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n", Symptom.CLOSED_BEFORE_HEADER, "http"),
        (b"hello\r\n", Symptom.NO_STATUS_LINE, ""),
        (b"HTTP/3.x OK\r\n\r\n", Symptom.NO_STATUS_LINE, "http"),
        (b"\x15\x03\x01\x00\x02\x02\x46", Symptom.NO_STATUS_LINE, "tls"),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", Symptom.NO_STATUS_LINE, "h2"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Symptom.NO_STATUS_LINE, "ssh"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", Symptom.HEADER_INVALID, "http"),
        (b"HTTP/1.1 200 OK\r\nX y\r\n\r\n", Symptom.HEADER_INVALID, "http"),
        (BIG, Symptom.HEADER_TOO_BIG, "http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Symptom.CLOSED_IN_BODY, "http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Symptom.CLOSED_IN_BODY, "http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhi\r\n", Symptom.BODY_INVALID, "http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n", Symptom.BODY_INVALID, "http"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Symptom.UPSTREAM_STATUS, "http"),
        (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            Symptom.TLS_REQUEST_EXPECTED,
            "tls",
        ),
    ],
)
def test_invalid_answers(serve, ask, answer, symptom, speaks):
    found = ask(serve(answer))
    assert (found.symptom, found.speaks) == (symptom, speaks), found
    assert found.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",  # the application's own error
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhi",
    ],
)
def test_accepted_answers(serve, ask, answer):
    assert ask(serve(answer)).symptom is None


def test_a_head_has_no_body(serve, ask):
    assert ask(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), method="HEAD").symptom is None


def test_framing_by_newer_versions(serve, ask):
    target = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi")
    assert ask(target, is_strict=True).symptom is Symptom.HEADER_INVALID


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_the_header_is_counted_to_the_byte(serve, ask, spare):
    head = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000 + b"\r\n\r\n"
    found = ask(serve(head), buffer_bytes=len(head) + spare)
    assert found.header_bytes == len(head)
    assert (found.symptom is Symptom.HEADER_TOO_BIG) == (spare < 0)
    assert spare >= 0 or f"takes {len(head)} bytes" in found.detail


def test_a_header_without_end_is_not_read_for_ever(serve, ask):
    def endless(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"y" * 65536)

    found = ask(serve(endless))
    assert found.symptom is Symptom.HEADER_TOO_BIG
    assert "more than" in found.detail


def test_resets(serve, ask):
    def at_once(connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    found = ask(serve(at_once))
    assert (found.symptom, found.errno) == (Symptom.RESET_BEFORE_HEADER, errno.ECONNRESET)

    came = threading.Event()

    def in_body(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        came.wait(0.3)  # RST discards data that the peer has not read yet
        reset(connection)

    found = ask(serve(in_body))
    assert (found.symptom, found.status) == (Symptom.RESET_IN_BODY, 200)


def test_silence_and_the_limit_that_ended_it(serve, ask):
    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    target = serve(silent)
    found = ask(target, answer_s=0.3)
    assert (found.symptom, found.speaks) == (Symptom.READ_TIMED_OUT, "")
    assert found.detail == "no answer within 0.3 s, the probe limit; the route waits 60 s"


def test_an_answer_that_comes_too_late_for_the_proxy(serve, ask):
    def late(connection: socket.socket) -> None:
        connection.recv(65536)
        threading.Event().wait(0.3)
        connection.sendall(OK)

    target = serve(late)
    found = ask(target, route_read_s=0.1)
    assert (found.symptom, found.status) == (Symptom.READ_TIMED_OUT, 200)
    assert found.first_byte_s >= 0.3
    assert "the route waits 0.1 s" in found.detail
    assert ask(target).symptom is None


def test_an_error_status_for_a_path_that_no_client_requested(serve, ask):
    target = serve(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    found = ask(target, is_in_route=False)
    assert (found.symptom, found.status) == (None, 503)


def test_a_trickling_header_is_a_timeout(serve, ask):
    def trickling(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while connection.recv(65536):
            pass

    found = ask(serve(trickling), answer_s=0.3)
    assert (found.symptom, found.speaks) == (Symptom.READ_TIMED_OUT, "http")
    assert "it began with" in found.detail


def test_a_long_body_is_accepted(serve, ask):
    def streaming(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        while connection.recv(65536):
            pass

    target = serve(streaming)
    found = ask(target, answer_s=0.3)
    assert (found.symptom, found.status) == (None, 200)
    assert "not complete" in found.detail
    assert ask(target, answer_s=0.5, route_read_s=0.3).symptom is Symptom.BODY_TIMED_OUT


def test_an_answer_that_comes_before_the_request_was_read(serve, ask):
    def hasty(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    assert ask(serve(hasty)).status == 200


def test_ports_and_paths_without_a_listener(ask, directory):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: no other process can take the port
        found = ask(Target(host="127.0.0.1", port=closed.getsockname()[1]))
    assert (found.symptom, found.errno, found.first_byte_s) == (Symptom.CONNECT_REFUSED, errno.ECONNREFUSED, None)
    found = ask(Target(path=str(directory / "none")))
    assert (found.symptom, found.errno) == (Symptom.SOCKET_PATH_MISSING, errno.ENOENT)
    (directory / "file").write_text("")
    assert ask(Target(path=str(directory / "file"))).symptom is Symptom.CONNECT_REFUSED


@pytest.mark.parametrize("is_unix", [True, False])
def test_full_queues(ask, directory, is_unix):
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET))
        listener.bind(str(directory / "full") if is_unix else ("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket(listener.family))
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        if is_unix:
            found = ask(Target(path=str(directory / "full")))
            assert (found.symptom, found.errno) == (Symptom.QUEUE_FULL, errno.EAGAIN)
        else:
            found = ask(Target(host="127.0.0.1", port=listener.getsockname()[1]), connect_s=0.3)
            assert (found.symptom, found.errno) == (Symptom.CONNECT_TIMED_OUT, None)
            assert "no connection within 0.3 s" in found.detail


def test_a_connection_that_comes_too_late_for_the_proxy(serve, ask):
    found = ask(serve(OK), route_connect_s=0.0)
    assert found.symptom is Symptom.CONNECT_TIMED_OUT
    assert "the route waits 0 s" in found.detail


def test_bytes_that_are_sent():
    request = Request(
        target=Target(host="127.0.0.1", port=80),
        path="/a",
        host="example.com",
        headers=(("Connection", "close"), ("X-Real-IP", "127.0.0.1")),
    )
    assert compose(request) == (
        b"GET /a HTTP/1.0\r\nHost: example.com\r\nConnection: close\r\nX-Real-IP: 127.0.0.1\r\n"
        b"User-Agent: why502-probe\r\nAccept: */*\r\nX-Why502-Probe: 1\r\n\r\n"
    )


@pytest.mark.parametrize("protocol", ["http", "https", "fastcgi", "uwsgi", "scgi", "grpc", "grpcs", "memcached"])
def test_any_answer_gives_a_probe(serve, ask, protocol):
    chance = random.Random(protocol)
    starts = (b"", OK, b"\x16\x03\x03\x00\x10", b"\x01\x06\x00\x01\x00\x20\x00\x00", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    tls = Tls() if protocol in ("https", "grpcs") else None
    for _ in range(25):
        answer = chance.choice(starts) + chance.randbytes(chance.choice((0, 1, 30, 9000)))
        found = ask(serve(answer), protocol=protocol, tls=tls, script="/etc/hostname")
        assert found.total_s is not None
        assert found.detail.isprintable()
        assert found.first_bytes.isascii()
        assert found.first_bytes.isprintable()


BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def reads_header(*, wants: bool, refusal: bytes):
    """Return a server that answers only connections that begin with a PROXY header (`wants`), or only those without one."""

    def handler(connection: socket.socket) -> None:
        connection.settimeout(5)
        data = connection.recv(65536)
        begins = data.startswith(tuple(header.encode() for header in PROXY_HEADERS.values()))
        connection.sendall(OK if begins is wants else refusal)
        connection.close()

    return handler


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_that_the_backend_does_not_expect(serve, ask, version):
    found = ask(serve(reads_header(wants=False, refusal=BAD)), preamble=PROXY_HEADERS[version])
    assert found.symptom is Symptom.OTHER_PROTOCOL
    assert "answered 400 to the PROXY header that the proxy sends first, and 200 without it" in found.detail


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_header_that_both_sides_use(serve, ask, version):
    found = ask(serve(reads_header(wants=True, refusal=b"")), preamble=PROXY_HEADERS[version])
    assert (found.symptom, found.status, found.speaks) == (None, 200, "")


def takes_longer(connection: socket.socket) -> None:
    """Answer connections that begin with a PROXY header of 16 bytes or more, as httpd does."""
    connection.settimeout(5)
    data = connection.recv(65536)
    connection.sendall(OK if data.startswith(PROXY_HEADERS["v2"].encode()) else b"")
    connection.close()


@pytest.mark.parametrize(("preamble", "speaks"), [(PROXY_HEADERS["v1"], ""), ("", "proxy")])
def test_a_backend_that_rejects_the_shortest_header(serve, ask, preamble, speaks):
    found = ask(serve(takes_longer), preamble=preamble)
    assert (found.symptom is None, found.speaks) == (bool(preamble), speaks)


def test_a_proxy_header_that_only_the_backend_expects(serve, ask):
    found = ask(serve(reads_header(wants=True, refusal=b"")))
    assert (found.symptom, found.speaks) == (Symptom.CLOSED_BEFORE_HEADER, "proxy")
    assert "answered 200 after a PROXY header" in found.detail


@pytest.mark.parametrize("preamble", ["", PROXY_HEADERS["v1"]])
def test_a_backend_that_closes_with_and_without_the_header_proves_nothing(serve, ask, preamble):
    found = ask(serve(b""), preamble=preamble)
    assert (found.symptom, found.speaks) == (Symptom.CLOSED_BEFORE_HEADER, "")


def test_a_backend_that_refuses_with_and_without_the_header_proves_nothing(serve, ask):
    found = ask(serve(BAD), preamble=PROXY_HEADERS["v2"])
    assert (found.symptom, found.status) == (None, 400)
