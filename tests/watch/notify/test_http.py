"""Requests to servers that refuse, hang, drop, drip, redirect and answer nonsense: bounded, without a secret in the reason."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from notify_scenes import answer, certificate, serving

from why502.watch.notify import connection
from why502.watch.notify.base import Undelivered
from why502.watch.notify.http import HttpSettings, pause_s, post, request

pytestmark = pytest.mark.real

SECRET = "Zq8v-topsecret-Zq8v"


def settings(**changes: Any) -> HttpSettings:
    return HttpSettings(**{"name": "ops", "timeout_s": 1.0, **changes})


def failure(url: str, asked: HttpSettings | None = None) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        post(url, b"{}", {}, asked or settings())
    return caught.value


@pytest.fixture(autouse=True)
def no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(301, False), (400, True), (401, False), (404, False), (413, True), (422, True), (429, False), (500, False), (503, False)],
)
def test_only_what_is_refused_for_its_content_is_final(status: int, is_final: bool) -> None:
    with serving(answer(status, b"no thanks")) as server:
        error = failure(server.url)
        assert error.is_final is is_final
        assert error.reason == f"{server.url[7:]}: answered {status}: no thanks"
        assert len(server.received) == 1  # not redirected either


@pytest.mark.parametrize(("status", "expected"), [(429, 120.0), (503, 120.0), (500, None)])
def test_the_time_to_wait_is_read(status: int, expected: float | None) -> None:
    with serving(answer(status, headers={"Retry-After": "120"})) as server:
        assert failure(server.url).retry_after_s == expected


NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), ("", None), ("0", 0), ("7", 7), ("86400", 3600), ("9" * 20, None), ("-5", None), ("soon", None),
        ("²", None),
        ("Mon, 23 Nov 2026 03:05:00 GMT", 300), ("Mon, 23 Nov 2026 02:00:00 GMT", 0), ("Mon, 99 Nov 2026 02:00:00 GMT", None),
        ("Mon, 23 Nov 9999 02:00:00 GMT", 3600),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert pause_s(value, NOW) == expected


def test_nobody_listens() -> None:
    port = free_port()
    assert failure(f"http://127.0.0.1:{port}/").reason == f"127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize("way", ["hang", "drop", "drip", "flood"])
def test_a_server_that_misbehaves_costs_no_more_than_the_time_limit(way: str) -> None:
    with serving() as server:
        server.answers = [getattr(server, way)]
        started_s = time.monotonic()
        error = failure(server.url)
        assert time.monotonic() - started_s < 3
        assert not error.is_final
        assert len(error.reason) < 500


def test_an_answer_that_is_not_http() -> None:
    def nonsense(handler: Any, _: Any) -> None:
        handler.wfile.write(b"\x16\x03\x01 SSH-2.0-nonsense\r\n")

    with serving(nonsense) as server:
        assert failure(server.url).reason == f"{server.url[7:]}: the response could not be parsed"


def echo(handler: Any, received: Any) -> None:
    answer(403, " ".join(received.headers.values()).encode() + b" " + received.path.encode())(handler, received)


@pytest.mark.parametrize("keys", [{"token_file": "{path}"}, {"user": "ops", "password_file": "{path}"}])
def test_a_secret_is_sent_and_is_in_no_reason(tmp_path: Path, keys: dict[str, str]) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    with serving(echo) as server:
        error = failure(server.url, settings(**{name: value.format(path=path) for name, value in keys.items()}))
        assert SECRET in server.received[0].headers["authorization"] or "Basic" in server.received[0].headers["authorization"]
        assert server.received[0].headers["authorization"].partition(" ")[2] not in error.reason
        assert SECRET not in error.reason


def test_the_path_of_the_url_is_in_no_reason() -> None:
    with serving(echo) as server:
        assert SECRET not in failure(f"{server.url}/{SECRET}").reason
        assert SECRET not in failure(f"{server.url}/?key={SECRET}").reason


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff\xfe", b"a" * 70_000])
def test_a_file_that_has_no_secret_is_named_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    reason = failure("http://127.0.0.1:9/", settings(token_file=str(path))).reason
    assert reason.startswith(str(path))
    assert "lines" not in reason.replace("one line", "")
    assert (
        failure("http://127.0.0.1:9/", settings(token_file="/nowhere")).reason
        == "cannot read /nowhere: no such file or directory"
    )


def test_tls_is_verified(tmp_path: Path) -> None:
    good, expired = certificate(tmp_path, "good"), certificate(tmp_path, "expired", "20210101000000Z")
    with serving(tls=good) as server:
        assert post(server.url, b"{}", {}, settings(ca_file=str(good))).status == 200
        assert "TLS: self-signed certificate" in failure(server.url).reason
        assert failure(server.url, settings(ca_file="/nowhere")).reason.startswith("cannot use /nowhere: ")
        assert failure(server.url.replace("https", "http")).reason
    with serving(tls=expired) as server:
        assert failure(server.url, settings(ca_file=str(expired))).reason == f"{server.url[8:]}: TLS: certificate has expired"


def test_a_server_that_says_nothing_in_the_handshake_costs_no_more_than_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started_s = time.monotonic()
        failure(f"https://127.0.0.1:{silent.getsockname()[1]}/")
        assert time.monotonic() - started_s < 3


def test_a_name_that_does_not_resolve() -> None:
    assert failure("http://nothing.invalid/").reason == "the name nothing.invalid does not resolve"


def test_a_lookup_that_hangs_is_left_alone_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the name server is behind the very proxy that fails."""
    answered, asked = threading.Event(), []

    def lookup(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        answered.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(connection.socket, "getaddrinfo", lookup)
    for _ in range(3):
        assert failure("http://alerts.example/").reason == "the name alerts.example did not resolve in time"
    assert len(asked) == 1
    answered.set()
    thread = next((one for one in threading.enumerate() if one.name == "lookup of alerts.example"), None)
    if thread:
        thread.join(10)
    assert failure("http://alerts.example/").reason == "the name alerts.example does not resolve"


@contextmanager
def proxying() -> Iterator[tuple[str, list[bytes]]]:
    """Run a proxy that makes tunnels, and forwards requests with an absolute target; yield its URL and what it was asked."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        line = head.split(b"\r\n", 1)[0]
        asked.append(head)
        place = line.split(b" ")[1].removeprefix(b"http://").split(b"/")[0].decode()
        with client, socket.create_connection((place.rpartition(":")[0], int(place.rpartition(":")[2]))) as server:
            if line.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head)
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join(10)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def test_a_proxy_of_the_settings_or_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path, "good")
    with proxying() as (proxy, asked), serving() as server, serving(tls=pem) as secure:
        assert post(server.url + "/x", b"{}", {}, settings(proxy=proxy)).status == 200
        assert asked[0].startswith(f"POST {server.url}/x HTTP/1.1\r\n".encode())
        assert server.received[0].headers["host"] == server.url[7:]
        assert post(secure.url, b"{}", {}, settings(proxy=proxy, ca_file=str(pem))).status == 200
        assert asked[1].startswith(f"CONNECT {secure.url[8:]} HTTP/1.1\r\n".encode())
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//me:pass%20word@"))
        assert post(server.url, b"{}", {}, settings()).status == 200
        assert b"\r\nProxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in asked[2]
        monkeypatch.setenv("https_proxy", proxy.replace("//", "//me:pass%20word@"))
        assert post(secure.url, b"{}", {}, settings(ca_file=str(pem))).status == 200
        assert b"\r\nProxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in asked.pop()
        assert "proxy-authorization" not in secure.received[-1].headers
        assert post(server.url, b"{}", {}, settings(proxy="none")).status == 200
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert post(server.url, b"{}", {}, settings()).status == 200
        assert len(asked) == 3


def test_a_proxy_that_refuses_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with listener.accept()[0] as client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        reason = failure("https://alerts.example/", settings(proxy=proxy)).reason
    assert reason == "the proxy answered 407 when asked for alerts.example:443"


def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.load_verify_locations(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[Any] = []

    def serve(listener: socket.socket) -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as client:
            shown.append(client.getpeercert())
            client.recv(65536)
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert request("GET", url, None, {}, settings(ca_file=str(pem), certificate_file=str(pem))).status == 204
        thread.join(10)
    assert shown
