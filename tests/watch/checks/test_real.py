"""Checks of real servers: nginx, HAProxy, PHP-FPM, HTTP/2 as for gRPC, TLS; as a command, and as the daemon makes them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from asking import ask
from free_ports import free_port
from nginx_real import until

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.snapshot import Snapshot
from why502.watch.checks.checker import Checker
from why502.watch.checks.settings import Checks
from why502.watch.model import Member, MemberStatus

pytestmark = pytest.mark.real
PHP = sorted(Path("/usr/sbin").glob("php-fpm[0-9]*"))
USER = "user root;" if os.geteuid() == 0 else ""
NGINX = """{user} daemon off; worker_processes 1; pid {name}.pid; error_log {name}.error.log; events {{ worker_connections 64; }}
http {{ access_log {name}.access.log;
client_body_temp_path temp/a; proxy_temp_path temp/b; fastcgi_temp_path temp/c; uwsgi_temp_path temp/d; scgi_temp_path temp/e;
{servers}
}}
"""


@dataclass(slots=True)
class Site:
    """A site of several servers, by the ports that it uses."""

    directory: Path
    ok: int
    dead: int
    busy: int
    tls: int
    grpc: int


@pytest.fixture
def site(directory, start) -> Site:
    """Backends: one that answers, one port without a listener, one that answers 503, one with TLS, one with HTTP/2, PHP-FPM."""
    found = Site(directory, *(free_port() for _ in range(5)))
    (directory / "temp").mkdir()
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 9"
        ).split(),
        cwd=directory,
        check=True,
        capture_output=True,
    )
    tls = f"listen 127.0.0.1:{found.tls} ssl; ssl_certificate {directory}/c.pem; ssl_certificate_key {directory}/k.pem;"
    run_nginx(
        start,
        directory,
        "back",
        f"server {{ listen 127.0.0.1:{found.ok}; return 200 fine; }} server {{ listen 127.0.0.1:{found.busy}; return 503; }}"
        f"server {{ {tls} return 204; }} server {{ listen 127.0.0.1:{found.grpc} http2; return 204; }}",
    )
    user = "user = root\n" if os.geteuid() == 0 else ""
    (directory / "fpm.conf").write_text(
        f"[global]\nerror_log = {directory}/fpm.log\n[www]\n{user}listen = {directory}/php\npm = static\npm.max_children = 1\n"
    )
    start(str(PHP[-1]), "-F", "-R", "-y", str(directory / "fpm.conf"), sockets=(directory / "php",))
    return found


def run_nginx(start, directory: Path, name: str, servers: str) -> Path:
    config = directory / f"{name}.conf"
    ready = f"server {{ listen unix:{directory}/{name}.sock; return 204; }}"
    config.write_text(
        NGINX.format(user=USER, name=f"{directory}/{name}", servers=servers + ready).replace("temp/", f"{directory}/temp/")
    )
    start("/usr/sbin/nginx", "-c", str(config), "-e", f"{directory}/{name}.error.log", sockets=(directory / f"{name}.sock",))
    return config


def front(start, site: Site) -> Path:
    """Start an nginx before the site, and return its configuration."""
    return run_nginx(
        start,
        site.directory,
        "front",
        f"upstream app {{ server 127.0.0.1:{site.ok}; server 127.0.0.1:{site.dead}; server 127.0.0.1:{site.busy} backup; }}"
        f"upstream tls {{ server 127.0.0.1:{site.tls}; }} upstream grpc {{ server 127.0.0.1:{site.grpc}; }}"
        f"server {{ listen 127.0.0.1:{free_port()};"
        "location / { proxy_pass http://app; } location /tls/ { proxy_pass https://tls; } location /grpc/ { grpc_pass "
        "grpc://grpc; }"
        f"location ~ php$ {{ fastcgi_pass unix:{site.directory}/php; }} }}",
    )


def members(answer: str) -> dict[str, tuple[str, str, int | None]]:
    return {one["target"]: (one["result"], one["code"], one["status"]) for one in json.loads(answer)["members"]}


def test_the_command_checks_each_member_as_its_proxy_asks_it(site, start):
    config = front(start, site)
    answer = ask("check", "--config", str(config), "--format", "json")
    assert answer.status == 1, answer
    assert members(answer.out) == {
        f"127.0.0.1:{site.ok}": ("pass", "L7OK", 200),
        f"127.0.0.1:{site.dead}": ("fail", "L4CON", None),
        f"127.0.0.1:{site.busy}": ("fail", "L7STS", 503),
        f"127.0.0.1:{site.tls}": ("pass", "L7OK", 204),
        f"127.0.0.1:{site.grpc}": ("pass", "L7OK", None),
        f"unix:{site.directory}/php": ("pass", "L7OK", None),
    }
    jsonschema.validate(json.loads(answer.out), json.loads(ask("schema", "check").out))
    tls = next(one for one in json.loads(answer.out)["members"] if one["group"] == "tls")
    left = datetime.fromisoformat(tls["certificate_ends_at"]) - datetime.now(UTC)
    assert timedelta(days=8.9) < left < timedelta(days=9.1)
    assert set(tls["phases_s"]) == {"connect", "tls", "first-byte"}
    assert ask("check", "--config", str(config), "--target", "tls").status == 0
    lines = ask("check", "--config", str(config), "--target", "app", "--proxy", "nginx", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["pass", "fail", "fail"]
    table = ask("check", "--config", str(config)).out
    assert f"127.0.0.1:{site.dead}: connection refused\n" in table
    assert "4 pass, 2 fail" in table


def test_a_member_is_not_stopped_if_no_other_passes(site, start):
    config = front(start, site)
    last = ask("check", "--config", str(config), "--without", f"127.0.0.1:{site.ok}")
    assert (last.status, "no other member of app passes its check" in last.err) == (1, True), last
    spare = ask("check", "--config", str(config), "--without", f"127.0.0.1:{site.dead}", "--format", "json")
    assert (spare.status, set(members(spare.out))) == (0, {f"127.0.0.1:{site.ok}", f"127.0.0.1:{site.busy}"})
    assert "can be stopped" in spare.err
    alone = ask("check", "--config", str(config), "--without", f"unix:{site.directory}/php")
    assert (alone.status, "no other member of its routes in nginx" in alone.err) == (1, True), alone
    both = ask("check", "--config", str(config), "--without", "a:1", "--target", "b:2")
    assert (both.status, both.err.count("\n")) == (2, 2)


def test_what_the_settings_expect_is_checked(site, start):
    config, settings = front(start, site), site.directory / "watch.toml"
    settings.write_text(
        f"""[[checks.target]]
target = "127.0.0.1:{site.ok}"
path = "/live"
body = "never said"
[[checks.target]]
target = "127.0.0.1:{site.busy}"
statuses = ["503"]
[[checks.target]]
target = "127.0.0.1:{site.dead}"
off = true
"""
    )
    answer = ask("check", "--config", str(config), "--settings", str(settings), "--target", "app", "--format", "json")
    assert members(answer.out) == {
        f"127.0.0.1:{site.ok}": ("fail", "L7RSP", 200),
        f"127.0.0.1:{site.busy}": ("pass", "L7OKC", 503),
        f"127.0.0.1:{site.dead}": ("unknown", "UNK", None),
    }
    assert '"GET /live HTTP/1.0" 200' in (site.directory / "back.access.log").read_text()
    settings.write_text("[checks]\nfall = 0\n")
    answer = ask("check", "--config", str(config), "--settings", str(settings))
    assert (answer.status, len(answer.err.splitlines())) == (2, 2)


def test_the_members_of_haproxy(site, start):
    config = site.directory / "haproxy.cfg"
    config.write_text(
        f"""global
    stats socket {site.directory}/stats.sock
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{free_port()}
    default_backend app
backend app
    server one 127.0.0.1:{site.ok}
    server two 127.0.0.1:{site.dead}
    server three 127.0.0.1:{site.tls} ssl verify none
"""
    )
    start("/usr/sbin/haproxy", "-db", "-f", str(config), sockets=(site.directory / "stats.sock",))
    answer = ask("check", "--config", str(config), "--proxy", "haproxy", "--format", "json")
    assert members(answer.out) == {
        f"127.0.0.1:{site.ok}": ("pass", "L7OK", 200),
        f"127.0.0.1:{site.dead}": ("fail", "L4CON", None),
        f"127.0.0.1:{site.tls}": ("pass", "L7OK", 204),
    }
    assert answer.status == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "nobody"), "--target 'nobody' is not a member of an upstream here"),
        (("--proxy", "haproxy"), "--proxy 'haproxy': no such proxy with a member is running here"),
    ],
)
def test_what_is_not_there_is_bad_input(site, start, options, message):
    answer = ask("check", "--config", str(front(start, site)), *options)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.splitlines()[0] == f"why502: {message}"
    assert len(answer.err.splitlines()) == 2


def looked_at(config: Path) -> Snapshot:
    sources = frozenset({"addresses", "proxies", "listeners", "socket_names", "names", "logs"})
    return collect(LocalHost(), datetime.now(UTC), None, None, CollectOptions(configs=(str(config),)), sources)


def test_the_daemon_sees_a_member_fall_and_rise(site, start):
    known = looked_at(front(start, site))
    found: list[Member] = []
    checker = Checker(LocalHost(), known, Checks(interval_s=1.0, quick_s=1.0), found.append, chance=lambda: -1.0)

    def status() -> MemberStatus:
        return next(one.status for one in checker.members if one.peer.port == site.dead)

    began = datetime.now(UTC)
    checker.start()
    try:
        until(lambda: status() is MemberStatus.DOWN, "three refusals make it down", 30)
        assert {one.status for one in checker.members if one.peer.port == site.ok} == {MemberStatus.UP}
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", site.dead))
            server.listen()
            threading.Thread(target=answering, args=(server,), daemon=True).start()
            until(lambda: status() is MemberStatus.UP, "two answers make it up", 30)
    finally:
        checker.stop()
    assert not any(
        thread.name.startswith("check") and thread.is_alive() for thread in checker._pool._threads if not checker._is_stopped
    )
    own = [one for one in found if one.peer.port == site.dead]
    assert [one.status for one in own[:3]] == [MemberStatus.UNKNOWN, MemberStatus.UNKNOWN, MemberStatus.DOWN]
    assert all(one.last is not None and one.last.at >= began for one in own)


def answering(server: socket.socket) -> None:
    try:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        return


def test_our_checks_are_no_requests_of_users(site, start):
    """W45. They stand in the backend's log under our name, and `why502 logs` counts none of them."""
    ask("check", "--config", str(front(start, site)))
    log = site.directory / "back.access.log"
    until(lambda: log.read_text().count("why502-probe") >= 3, "the checks are logged")
    counted = json.loads(ask("logs", str(log), "--format", "json").out)
    assert counted["requests"] == 0
