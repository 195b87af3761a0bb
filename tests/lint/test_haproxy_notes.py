"""The claims of rules about HAProxy that need TLS, names or full limits, checked with a real one."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from free_ports import free_port
from haproxy_process import running

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")]

DEFAULTS = "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n retries 0\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def served(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    """Have each connection of a listener answered in a thread of its own, until the listener is closed."""

    def one(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def ok(connection: socket.socket) -> None:
    """Answer one request."""
    connection.recv(65536)
    connection.sendall(ANSWER)


@contextmanager
def haproxy(at: Path, text: str, before: Sequence[str] = ()) -> Iterator[None]:
    """Run HAProxy with a configuration, once its socket `web.sock` is there."""
    config = at / "haproxy.cfg"
    config.write_text(text)
    with running(config, at / "web.sock", before):
        yield


def connected(at: Path, path: str = "/") -> socket.socket:
    """Return a connection through which a request was sent."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(at / "web.sock"))
    client.sendall(f"GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n".encode())
    return client


def asked(at: Path, path: str = "/") -> int:
    """Return the status of a request."""
    with connected(at, path) as client:
        return int(client.recv(65536).split()[1])


def test_without_sni_a_server_of_several_names_ends_the_handshake(tmp_path: Path) -> None:
    """W502-313."""
    pair = tmp_path / "pair.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(pair), "-out", str(pair))
    made = subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=api.shop.com"], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    names: list[str | None] = []

    def chosen(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        names.append(name)
        return None if name == "api.shop.com" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = chosen  # type: ignore[assignment]  # its name may be None

    def answer(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as line:
                ok(line)
        except OSError:  # the handshake that is ended
            pass

    text = f"""{DEFAULTS}
frontend web
    bind unix@{tmp_path}/web.sock
    use_backend named if {{ path /named }}
    default_backend plain
backend plain
    server a unix@{tmp_path}/app ssl verify none
backend named
    server a unix@{tmp_path}/app ssl verify none sni str(api.shop.com)
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app"))
        listener.listen()
        served(listener, answer)
        with haproxy(tmp_path, text):
            assert asked(tmp_path) == 503
            assert asked(tmp_path, "/named") == 200
    assert names == [None, "api.shop.com"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a hosts file of its own")
def test_a_name_without_resolvers_keeps_its_first_address(tmp_path: Path) -> None:
    """W502-315."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 app.test\n")
    port = free_port()
    server = f"server a app.test:{port}"
    text = f"{DEFAULTS}frontend web\n bind unix@{tmp_path}/web.sock\n default_backend app\nbackend app\n {server}\n"
    own_hosts = ("unshare", "--mount", "sh", "-c", f'mount --bind "{hosts}" /etc/hosts && exec "$@"', "sh")
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", port)) as first, socket.create_server(("127.0.0.2", port)) as second:
        served(first, lambda line: (seen.append("first"), ok(line))[-1])
        served(second, lambda line: (seen.append("second"), ok(line))[-1])
        with haproxy(tmp_path, text, own_hosts):
            assert asked(tmp_path) == 200
            hosts.write_text("127.0.0.2 app.test\n")
            assert asked(tmp_path) == 200
        assert seen == ["first", "first"]
        with haproxy(tmp_path, text, own_hosts):
            assert asked(tmp_path) == 200
        assert seen[-1] == "second"  # only a start looks it up
    hosts.write_text("")
    refused = subprocess.run([*own_hosts, "haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], capture_output=True, check=False)
    assert refused.returncode == 1 and b"could not resolve address 'app.test'" in refused.stderr


def info(at: Path) -> dict[str, str]:
    """Return what the statistics socket says of the process."""
    with socket.socket(socket.AF_UNIX) as line, line.makefile("r") as answer:
        line.settimeout(30)
        line.connect(str(at / "stats.sock"))
        line.sendall(b"show info\n")
        return dict(row.strip().split(": ", 1) for row in answer if ": " in row)


def waiting(at: Path) -> int:
    """Return how many connections to the frontend the kernel has, and HAProxy has not accepted."""
    listing = subprocess.run(["ss", "-xlH"], capture_output=True, text=True, check=True).stdout
    return next(int(row.split()[2]) for row in listing.splitlines() if f"{at}/web.sock" in row)


def test_the_limit_of_the_process_comes_before_that_of_a_frontend(tmp_path: Path) -> None:
    """W502-317."""
    release = threading.Event()

    def held(connection: socket.socket) -> None:
        connection.recv(65536)
        release.wait(60)
        connection.sendall(ANSWER)

    text = f"""global
    maxconn 2
    stats socket {tmp_path}/stats.sock
{DEFAULTS}
frontend web
    bind unix@{tmp_path}/web.sock
    maxconn 10
    default_backend app
backend app
    server a unix@{tmp_path}/app
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app"))
        listener.listen()
        served(listener, held)
        with haproxy(tmp_path, text):
            clients = [connected(tmp_path) for _ in range(2)]
            while info(tmp_path)["CurrConns"] != "2":
                time.sleep(0.01)
            clients.append(connected(tmp_path))
            state = info(tmp_path)  # it has answered since the third came
            assert (state["Maxconn"], state["CurrConns"], waiting(tmp_path)) == ("2", "2", 1)
            release.set()
            assert [int(client.recv(65536).split()[1]) for client in clients] == [200, 200, 200]
            for client in clients:
                client.close()
