"""A real nginx writes the logs: every line is read, with each format and each escape."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs import error as nginx_error
from why502.model.logs import LogRecord, Symptom
from why502.model.target import Target

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")]

UPSTREAM = "$upstream_addr|$upstream_status|$upstream_connect_time|$upstream_header_time|$upstream_response_time"
FORMATS = {
    "text": ("default", f'$remote_addr [$time_local] "$request" $status "$http_x" {UPSTREAM} $request_time'),
    "raw": ("none", f'[$time_iso8601] "$request" $status "$http_x" {UPSTREAM}'),
    "json": ("json", '{"t":"$msec","r":"$request","s":$status,"x":"$http_x","a":"$upstream_addr","us":"$upstream_status","uh":"$upstream_header_time"}'),
}  # fmt: skip
CONF = """
daemon off; user {user}; pid {directory}/pid; error_log {directory}/error.log info;
events {{}}
http {{
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  {formats}
  upstream pair {{ server 127.0.0.1:{closed}; server unix:{directory}/backend.sock; }}
  upstream none {{ server 127.0.0.1:{closed} down; }}
  proxy_read_timeout 300ms;
  server {{
    listen unix:{directory}/front.sock; server_name lab.example; {logs}
    location /refused {{ proxy_pass http://127.0.0.1:{closed}; }}
    location /pair {{ proxy_pass http://pair; }}
    location /none {{ proxy_pass http://none; }}
    location /say/ {{ proxy_pass http://unix:{directory}/backend.sock; }}
    location /own {{ return 503; }}
    location /missing {{ proxy_pass http://unix:{directory}/missing.sock; }}
  }}
}}
"""
SAID = {
    b"/say/502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    b"/say/nothing": b"",
    b"/say/hello": b"hello\r\n",
    b"/say/big": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
    b"/say/short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"/pair": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a finished nginx with its logs."""
    directory = tmp_path_factory.mktemp("nginx")
    directory.chmod(0o755)
    with contextlib.ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
        backend = stack.enter_context(socket.socket(socket.AF_UNIX))
        backend.bind(str(directory / "backend.sock"))
        (directory / "backend.sock").chmod(0o777)
        backend.listen()
        threading.Thread(target=serve, args=(backend,), daemon=True).start()
        stack.callback(backend.shutdown, socket.SHUT_RDWR)
        conf = CONF.format(
            directory=directory,
            user=getpass.getuser(),
            closed=closed.getsockname()[1],
            formats=" ".join(f"log_format {name} escape={escape} '{text}';" for name, (escape, text) in FORMATS.items()),
            logs=" ".join(f"access_log {directory}/{name}.log {name};" for name in FORMATS),
        )
        (directory / "nginx.conf").write_text(conf)
        nginx = subprocess.Popen(["nginx", "-e", "stderr", "-c", str(directory / "nginx.conf")], stderr=subprocess.PIPE)
        try:
            for path in (
                "/refused",
                "/pair",
                "/pair",
                "/none",
                *(name.decode() for name in SAID),
                "/own",
                "/missing",
                "/say/late",
            ):
                ask(directory / "front.sock", path)
        finally:
            nginx.terminate()
            nginx.wait(10)
    yield directory


def serve(backend: socket.socket) -> None:
    """Answer each connection by its path, until the socket is closed; leave `/say/late` waiting for the other side to go."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = backend.accept()
            with connection, contextlib.suppress(OSError):
                path = connection.recv(65536).split(b" ")[1]
                connection.sendall(SAID[path]) if path in SAID else connection.recv(1)


def ask(front: Path, path: str) -> None:
    """Send one request, as soon as nginx listens, and read the answer to its end."""
    deadline = time.monotonic() + 10
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(front))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            client.settimeout(10)
            client.sendall(f'GET {path} HTTP/1.0\r\nHost: lab.example\r\nX: a"b\\c é\r\n\r\n'.encode())
            while client.recv(65536):
                pass
            return


def records(directory: Path, name: str) -> dict[str, LogRecord]:
    """Return the last record of each path."""
    escape, form = FORMATS[name]
    reader = nginx_access.compile(form, escape)
    found = [reader.parse(line) for line in (directory / f"{name}.log").read_text("utf-8", "surrogateescape").splitlines()]
    assert None not in found
    return {record.request.split(" ")[1]: record for record in found if record}


@pytest.mark.parametrize("name", FORMATS)
def test_every_access_line_is_read(directory: Path, name: str) -> None:
    found = records(directory, name)
    assert {path: record.status for path, record in found.items()} == {
        "/refused": 502,
        "/pair": 200,
        "/none": 502,
        "/say/502": 502,
        "/say/nothing": 502,
        "/say/hello": 9,
        "/say/big": 502,
        "/say/short": 200,
        "/own": 503,
        "/missing": 502,
        "/say/late": 504,
    }
    assert found["/say/502"].symptom is Symptom.UPSTREAM_STATUS
    assert found["/refused"].symptom is Symptom.GATEWAY_STATUS
    assert found["/own"].symptom is Symptom.OWN_STATUS
    assert found["/none"].group == "none"
    assert found["/say/late"].target == Target(path=str(directory / "backend.sock"))
    assert all(record.at and record.at.tzinfo for record in found.values())


def test_every_attempt_is_read(directory: Path) -> None:
    lines = (directory / "text.log").read_text().splitlines()
    reader = nginx_access.compile(FORMATS["text"][1])
    found = [record for line in lines if (record := reader.parse(line)) and record.request.startswith("GET /pair")]
    assert [attempt.status for attempt in found[0].attempts] == [502, 200]
    assert found[0].attempts[0].header_s is None
    assert found[0].attempts[1].header_s is not None


def test_every_error_line_is_read(directory: Path) -> None:
    found = [nginx_error.parse(line) for line in (directory / "error.log").read_text("utf-8", "surrogateescape").splitlines()]
    assert None not in found
    failures = {(record.request.split(" ")[1], record.symptom) for record in found if record and record.is_gateway_failure}
    assert failures >= {
        ("/refused", Symptom.CONNECT_REFUSED),
        ("/pair", Symptom.CONNECT_REFUSED),
        ("/none", Symptom.NO_LIVE_UPSTREAMS),
        ("/say/nothing", Symptom.CLOSED_BEFORE_HEADER),
        ("/say/hello", Symptom.NO_STATUS_LINE),
        ("/say/big", Symptom.HEADER_TOO_BIG),
        ("/say/short", Symptom.CLOSED_IN_BODY),
        ("/missing", Symptom.SOCKET_PATH_MISSING),
        ("/say/late", Symptom.READ_TIMED_OUT),
    }
    assert {path for path, _ in failures} <= {
        "/refused",
        "/pair",
        "/none",
        "/missing",
        *(f"/say/{x}" for x in "nothing hello big short late".split()),
    }
