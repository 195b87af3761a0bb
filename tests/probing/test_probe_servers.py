"""Other protocols on real servers: PHP-FPM, uWSGI, HTTP/2 by nginx, HAProxy; and the result of using the wrong one."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from why502.model.logs import Symptom
from why502.model.target import Target

pytestmark = pytest.mark.real
PHP = sorted(Path("/usr/sbin").glob("php-fpm[0-9]*"))


@pytest.fixture
def php(directory, start) -> Target:
    """PHP-FPM with one child."""
    if not PHP:
        pytest.skip("needs php-fpm")
    user = "user = root\n" if os.geteuid() == 0 else ""
    (directory / "fpm.conf").write_text(
        f"[global]\nerror_log = {directory}/fpm.log\n[www]\n{user}listen = {directory}/php\npm = static\npm.max_children = 1\n"
    )
    start(str(PHP[-1]), "-F", "-R", "-y", str(directory / "fpm.conf"), sockets=(directory / "php",))
    return Target(path=str(directory / "php"))


@pytest.fixture
def uwsgi(directory, start) -> Target:
    if shutil.which("uwsgi") is None:
        pytest.skip("needs uwsgi-core")
    (directory / "app.py").write_text(
        "def application(env, answer):\n    answer('200 OK', [])\n    return [env['PATH_INFO'].encode()]\n"
    )
    start(
        "uwsgi",
        "--plugins",
        "python3",
        "--socket",
        str(directory / "uwsgi"),
        "--wsgi-file",
        "app.py",
        sockets=(directory / "uwsgi",),
    )
    return Target(path=str(directory / "uwsgi"))


def test_php_fpm(php, ask):
    found = ask(php, protocol="fastcgi")
    assert (found.symptom, found.request) == (None, "FCGI_GET_VALUES")
    assert "FastCGI" in found.detail


SCRIPTS = {
    "ok.php": "header('X-Path: ' . $_SERVER['REQUEST_URI']); echo 'hi';",
    "big.php": "header('X: ' . str_repeat('y', 6000));",
    "slow.php": "sleep(1); echo 'late';",
    "busy.php": "http_response_code(503);",
    "dies.php": "exec('kill -9 ' . getmypid());",
    "warns.php": "error_log('a warning of the application'); echo 'hi';",
}


@pytest.fixture
def run(php, directory, ask):
    """Make PHP-FPM run one of SCRIPTS."""
    for name, text in SCRIPTS.items():
        (directory / name).write_text(f"<?php {text}")

    def probed(name: str, **fields):
        script = str(directory / name)
        params = (("SCRIPT_FILENAME", script), ("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/" + name))
        return ask(php, protocol="fastcgi", script=script, params=params, path="/" + name, repeats=True, **fields)

    return probed


@pytest.mark.parametrize(
    ("name", "symptom", "status"),
    [
        ("ok.php", None, 200),
        ("big.php", Symptom.HEADER_TOO_BIG, None),
        ("slow.php", Symptom.READ_TIMED_OUT, 200),
        ("busy.php", Symptom.UPSTREAM_STATUS, 503),
        ("dies.php", Symptom.RESET_BEFORE_HEADER, None),
        ("warns.php", None, 200),
    ],
)
def test_php_scripts(run, name, symptom, status):
    found = run(name, route_read_s=0.5)
    assert found.symptom in (symptom, Symptom.CLOSED_BEFORE_HEADER if name == "dies.php" else symptom), found
    assert (found.status, found.request, found.repeats) == (status, f"GET /{name}", True)


def test_the_size_of_a_php_header_is_what_nginx_needs(run, nginx, directory):
    """The smallest buffer by our measurement is the smallest that works for the real nginx."""
    size = run("big.php").header_bytes
    pass_to = "fastcgi_param SCRIPT_FILENAME $F/big.php; fastcgi_param REQUEST_METHOD GET; fastcgi_pass unix:$F/php;"
    fits, not_fits = (
        f"location /{n} {{ {pass_to} fastcgi_buffer_size {size + n}; fastcgi_buffers 8 8k; }}".replace("$F", str(directory))
        for n in (0, -1)
    )
    nginx(f"server {{ listen unix:$F/front; {fits} {not_fits} }}", "front")
    assert [status_of(directory / "front", path) for path in ("/0", "/-1")] == [200, 502]


def status_of(path: Path, uri: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(f"GET {uri} HTTP/1.0\r\n\r\n".encode())
        return int(client.recv(65536).split()[1])


def test_a_script_that_is_not_there_is_not_run(run):
    found = run("none.php")
    assert (found.request, found.repeats) == ("FCGI_GET_VALUES", False)


def test_a_script_that_php_cannot_see(run, directory, php, ask):
    (directory / "seen").write_text("")
    params = (("SCRIPT_FILENAME", "/none.php"), ("REQUEST_METHOD", "GET"))
    found = ask(php, protocol="fastcgi", script=str(directory / "seen"), params=params)
    assert (found.symptom, found.status) == (Symptom.SCRIPT_NOT_FOUND, 404)


def test_php_fpm_when_all_children_are_busy(php, ask):
    with socket.socket(socket.AF_UNIX) as holds:  # an incomplete request whose rest never comes
        holds.connect(php.path)
        holds.sendall(bytes((1, 1, 0, 1, 0, 8, 0, 0)) + bytes((0, 1, 0, 0, 0, 0, 0, 0)))
        found = ask(php, protocol="fastcgi", answer_s=0.5)
    assert found.symptom is Symptom.READ_TIMED_OUT


@pytest.mark.parametrize("protocol", ["http", "uwsgi", "scgi"])
def test_others_to_php_fpm(php, ask, protocol):
    found = ask(php, protocol=protocol)
    assert found.symptom in (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER), found
    assert found.speaks == "fastcgi"


def test_uwsgi(uwsgi, ask):
    found = ask(uwsgi, protocol="uwsgi", path="/x")
    assert (found.symptom, found.status) == (None, 200)


def test_an_error_of_a_uwsgi_application_is_not_another_protocol(serve, ask):
    found = ask(serve(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), protocol="uwsgi")
    assert (found.symptom, found.speaks) == (Symptom.UPSTREAM_STATUS, "")


def test_http_to_uwsgi(uwsgi, ask):
    found = ask(uwsgi, answer_s=0.5)
    assert found.symptom is not None
    assert found.speaks == "uwsgi"


@pytest.mark.parametrize("protocol", ["fastcgi", "uwsgi", "scgi", "grpc"])
def test_others_to_an_http_server(nginx, directory, ask, protocol):
    nginx("server { listen unix:$F/web; return 200 hi; }", "web")
    found = ask(Target(path=str(directory / "web")), protocol=protocol)
    assert (found.symptom, found.speaks) == (Symptom.OTHER_PROTOCOL, "http"), found


@pytest.mark.parametrize("protocol", ["fastcgi", "uwsgi", "scgi"])
def test_others_to_a_server_that_waits_for_a_line(serve, ask, protocol):
    def lines(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    found = ask(serve(lines), protocol=protocol, answer_s=0.4)
    assert (found.symptom, found.speaks) == (Symptom.READ_TIMED_OUT, "http")


def test_scgi(serve, ask):
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"Status: 201 Made\r\n\r\n")

    assert ask(serve(answer), protocol="scgi").status == 201
    size, _, rest = asked[0].partition(b":")
    assert rest[int(size) :] == b","
    assert rest.startswith(b"CONTENT_LENGTH\x000\x00SCGI\x001\x00")


def test_http2(nginx, directory, ask):
    nginx("server { listen unix:$F/h2 http2; return 200 hi; }", "h2")
    target = Target(path=str(directory / "h2"))
    assert ask(target, protocol="grpc").symptom is None
    assert ask(target, http_version="2").symptom is None
    assert ask(target).speaks == "h2"


def test_memcached_and_the_unknown(serve, ask):
    assert ask(serve(b"VERSION 1.6.18\r\n"), protocol="memcached").symptom is None
    assert ask(serve(b"-ERR unknown command\r\n"), protocol="memcached").speaks == "redis"
    found = ask(serve(b""), protocol="tcp")
    assert (found.symptom, found.request) == (None, "connect")


def test_haproxy_without_a_server(directory, start, ask):
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not Path(program).exists():
        pytest.skip("needs haproxy")
    (directory / "haproxy.cfg").write_text(
        f"defaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"
        f"frontend f\n bind unix@{directory}/front\n default_backend b\nbackend b\n server s unix@{directory}/none\n"
    )
    start(program, "-db", "-f", str(directory / "haproxy.cfg"), sockets=(directory / "front",))
    found = ask(Target(path=str(directory / "front")), through_proxy=True)
    assert (found.symptom, found.status) == (Symptom.GATEWAY_STATUS, 503)


def test_a_server_that_refuses_any_bytes_in_http_speaks_no_uwsgi(serve, ask):
    def refuses(connection: socket.socket) -> None:  # libwebsockets closes on a GET without an upgrade, and sends 403 to nonsense
        if not connection.recv(65536).startswith((b"GET", b"HEAD")):
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    found = ask(serve(refuses), answer_s=0.5)
    assert (found.symptom, found.speaks) == (Symptom.CLOSED_BEFORE_HEADER, "")
