"""The HTTP server: two paths, few connections at once, each bounded in time; a Unix socket; bad addresses."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.watch.daemons import eventually
from why502.model.errors import Why502Error
from why502.watch.metrics.server import AT_ONCE, Server, wants_openmetrics
from why502.watch.metrics.settings import MetricsSettings, address

SLOW_S = 0.5


def broken(_: bool) -> bytes:
    raise Why502Error("the store cannot be read", "")


@contextmanager
def serving(where: tuple[str, int] | Path = ("127.0.0.1", 0), stuck: tuple[str, ...] = ()) -> Iterator[Server]:
    """Yield a server on a port of the kernel's choice. A connection of it may last half a second."""
    server = Server(where, lambda is_openmetrics: b"open\n" if is_openmetrics else b"text\n", lambda: stuck, longest_s=SLOW_S)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read()


def test_the_form_is_what_the_client_accepts() -> None:
    with serving() as server:
        assert get(server, "/metrics") == (200, "text/plain; version=0.0.4; charset=utf-8", b"text\n")
        status, kind, body = get(
            server, "/metrics?x=1", Accept="application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2"
        )
        assert (status, body) == (200, b"open\n") and kind.startswith("application/openmetrics-text; version=1.0.0")
        assert get(server, "/metrics", "HEAD") == (200, "text/plain; version=0.0.4; charset=utf-8", b"")


@pytest.mark.parametrize("accept", ["", "*/*", ";;,,version=x", "text/plain;version=999;escaping=\x80", "application/json"])
def test_anything_else_is_text(accept: str) -> None:
    assert not wants_openmetrics(accept)


def test_health_names_what_does_not_progress() -> None:
    with serving() as server:
        assert get(server, "/healthz")[::2] == (200, b"ok\n")
    with serving(stuck=("reader of a\nb.log",)) as server:
        assert get(server, "/healthz")[::2] == (503, b"not progressing: reader of a b.log\n")


@pytest.mark.parametrize("path", ["/", "/metrics/..", "/%6d", "/<script>"])
def test_there_is_nothing_else(path: str) -> None:
    with serving() as server:
        status, _, body = get(server, path)
        assert status == 404 and b"script" not in body


def test_nothing_can_be_changed() -> None:
    with serving() as server:
        assert get(server, "/metrics", "POST")[0] == get(server, "/metrics", "DELETE")[0] == 501


def test_an_unreadable_store_is_no_empty_answer() -> None:
    server = Server(("127.0.0.1", 0), broken, tuple)
    server.start()
    assert get(server, "/metrics")[::2] == (503, b"the store cannot be read\n")
    server.stop()


def ended(connection: socket.socket) -> bool:
    """Wait until the server ends a connection."""
    connection.settimeout(10)
    with suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def test_slow_clients_are_cut_off_and_others_served_afterwards() -> None:
    """Each sends a byte now and then, so that no read of the server ever waits for long."""
    with serving() as server:
        slow = [socket.create_connection(server.server_address[:2]) for _ in range(AT_ONCE)]
        began = time.monotonic()
        done = threading.Event()

        def drip() -> None:
            while not done.wait(0.05):
                for each in slow:
                    with suppress(OSError):
                        each.send(b"G")

        thread = threading.Thread(target=drip)
        thread.start()
        assert all(map(ended, slow))
        done.set()
        thread.join()
        assert time.monotonic() - began >= SLOW_S
        eventually(lambda: not server.open_connections, "The places of the clients that were cut off are not free again")
        assert get(server, "/metrics")[0] == 200


def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    with serving() as server:
        held = [socket.create_connection(server.server_address[:2]) for _ in range(AT_ONCE)]
        more = socket.create_connection(server.server_address[:2])
        more.settimeout(5)
        assert more.recv(1) == b""
        for each in (*held, more):
            each.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with serving(path), socket.socket(socket.AF_UNIX) as client:
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(Why502Error, match="is in use"):
            Server(path, lambda _: b"", tuple)
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"\r\n\r\ntext\n")
    assert not path.exists()


def test_a_file_in_the_place_of_the_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    path.write_text("mine")
    with pytest.raises(Why502Error, match="is not a socket"):
        Server(path, lambda _: b"", tuple)
    assert path.read_text() == "mine"


def test_an_address_in_use() -> None:
    with serving() as server, pytest.raises(Why502Error, match="cannot listen on "):
        Server(server.server_address[:2], lambda _: b"", tuple)


def test_addresses() -> None:
    assert address("127.0.0.1:9502") == ("127.0.0.1", 9502)
    assert address("[::1]:9502") == ("::1", 9502)
    assert address("unix:/run/why502/metrics.sock") == Path("/run/why502/metrics.sock")


@pytest.mark.parametrize(
    "values",
    [
        {"listen": "9502"},
        {"listen": ":9502"},
        {"listen": "localhost:9502"},
        {"listen": "127.0.0.1:0"},
        {"listen": "127.0.0.1:99999"},
        {"listen": "127.0.0.1:٣"},
        {"listen": "unix:metrics.sock"},
        {"textfile": "why502.prom"},
        {"textfile": "/var/lib/prometheus/node-exporter/why502"},
        {"otlp": "127.0.0.1:4318"},
        {"interval_s": 0.0},
        {"interval_s": float("nan")},
    ],
)
def test_bad_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(Why502Error, match=f"metrics.{next(iter(values))}") as error:
        MetricsSettings(**values).check()  # type: ignore[arg-type]
    assert error.value.hint
