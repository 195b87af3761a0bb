"""The configuration tests of HAProxy and Apache httpd by the running programs, and that they change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest
from first_answer import answers
from free_ports import free_port

from why502.collectors import config_test, proxies
from why502.collectors.base import CollectOptions
from why502.collectors.other_installed import described
from why502.gateways.running import installed
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

HAPROXY = """\
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{port}
    default_backend app
backend app
    server one "${{APP}}" check
"""
APACHE = """\
ServerRoot /usr/lib/apache2
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/pid
ErrorLog {directory}/error.log
Mutex file:{directory}
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
ProxyPass /always http://127.0.0.1:9/
<IfDefine SHOP>
Include {directory}/*.site
</IfDefine>
"""
SITE = "<VirtualHost *>\n    ProxyPass / http://${APP}/\n</VirtualHost>\n"


@contextmanager
def running(argv: list[str], is_ready: Callable[[], bool]) -> Iterator[int]:
    """Yield the process id of a server that has read its configuration for the last time."""
    process = subprocess.Popen(argv, env={**os.environ, "APP": "127.0.0.1:9"}, cwd="/")
    try:
        until = time.monotonic() + 10
        while not is_ready():
            assert process.poll() is None and time.monotonic() < until, "it does not start"
            time.sleep(0.02)
        yield process.pid
        assert process.poll() is None, "it ended during the test"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def examined(pid: int) -> tuple[Proxy, tuple[Gap, ...]]:
    now = Snapshot(taken_at=datetime.now(UTC))
    seen = proxies.collect(LocalHost(), now, CollectOptions())
    found = [proxy for proxy in seen.value or () if proxy.pid == pid]
    assert found, seen
    told = config_test.collect(LocalHost(), msgspec.structs.replace(now, proxies=tuple(found)), CollectOptions())
    assert told.value is not None
    return told.value[0], told.gaps


def everything(directory: Path) -> dict[str, tuple[int, ...]]:
    return {str(path): (s.st_uid, s.st_mode, s.st_size, s.st_mtime_ns) for path in directory.rglob("*") for s in (path.lstat(),)}


@pytest.fixture
def haproxy(open_directory: Path) -> Iterator[tuple[int, Path]]:
    port, config = free_port(), open_directory / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port))
    with running(["haproxy", "-db", "-C", str(open_directory), "-f", "haproxy.cfg"], partial(answers, port)) as pid:
        yield pid, config


@pytest.fixture
def apache(open_directory: Path) -> Iterator[tuple[int, Path]]:
    port, config = free_port(), open_directory / "apache2.conf"
    config.write_text(APACHE.format(port=port, directory=open_directory))
    site = open_directory / "shop.site"
    site.write_text(SITE)
    written = open_directory / "pid"  # httpd reads its configuration twice, and listens in between; then it writes its pid
    with running(["/usr/sbin/apache2", "-DSHOP", "-X", "-f", str(config)], written.exists) as pid:
        yield pid, site


@pytest.mark.parametrize("product", ["haproxy", "apache"])
def test_a_valid_configuration(product: str, request: pytest.FixtureRequest) -> None:
    pid, config = request.getfixturevalue(product)
    before = everything(config.parent)
    proxy, gaps = examined(pid)
    assert (proxy.kind, proxy.test, proxy.problems, gaps) == (product, "ok", (), ())
    assert everything(config.parent) == before


@pytest.mark.parametrize(("product", "wrong"), [("haproxy", "default_backends none"), ("apache", "ProxyPas / x")])
def test_a_change_is_tested_on_a_copy(product: str, wrong: str, request: pytest.FixtureRequest) -> None:
    pid, config = request.getfixturevalue(product)
    proxy, _ = examined(pid)
    before, text = everything(config.parent), config.read_bytes()
    moved = text.replace(b"${APP}", b"127.0.0.1:10")
    assert moved != text
    assert config_test.try_change(LocalHost(), proxy, {str(config): moved}) == ()
    problems = config_test.try_change(LocalHost(), proxy, {str(config): moved + f"{wrong}\n".encode()})
    assert wrong.partition(" ")[0] in problems[0].message
    assert everything(config.parent) == before
    users = msgspec.structs.replace(proxy, owner_uid=65534)
    with pytest.raises(HostError, match="only root can test a changed copy"):
        config_test.try_change(LocalHost(), users, {str(config): moved})


def test_a_word_that_haproxy_does_not_know(haproxy: tuple[int, Path]) -> None:
    pid, config = haproxy
    config.write_text(config.read_text().replace("default_backend", "default_backends"))
    proxy, _ = examined(pid)
    assert (proxy.test, str(proxy.problems[0].at)) == ("failed", f"{config}:8")
    assert "unknown keyword 'default_backends'" in proxy.problems[0].message
    assert proxy.problems[0].source == "haproxy -c"


def test_a_backend_that_haproxy_does_not_find(haproxy: tuple[int, Path]) -> None:
    pid, config = haproxy
    config.write_text(config.read_text().replace("\nbackend app\n", "\nbackend apps\n"))
    proxy, _ = examined(pid)
    assert proxy.test == "failed"
    assert "unable to find required default_backend" in proxy.problems[0].message


def test_haproxy_runs_no_code_of_its_configuration(haproxy: tuple[int, Path]) -> None:
    pid, config = haproxy
    (config.parent / "a.lua").write_text(f'io.open("{config.parent}/made", "w"):close()')
    config.write_text(f"global\n    lua-load {config.parent}/a.lua\n{config.read_text()}")
    proxy, gaps = examined(pid)
    assert proxy.test == "unknown"
    assert "its test would run the code of lua-load" in gaps[0].reason
    assert not (config.parent / "made").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("ProxyPas", "Invalid command 'ProxyPas'"), ("ProxyPass /x", "ProxyPass"), ("</Location>", "</Location>")],
)
def test_a_mistake_in_a_file_that_apache_includes(apache: tuple[int, Path], wrong: str, message: str) -> None:
    pid, site = apache
    site.write_text(f"{SITE}{wrong}\n")
    proxy, gaps = examined(pid)
    assert (proxy.test, gaps) == ("failed", ())
    assert str(proxy.problems[0].at) == f"{site}:4"
    assert message in proxy.problems[0].message


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        ("server one 127.0.0.1:9", "ok", ""),
        ("server one 127.0.0.1:9 ssl verify required ca-file /nowhere.pem", "failed", "/nowhere.pem"),
        ('server one "${APP}"', "unknown", "variables that it is given at its start"),
    ],
)
def test_a_haproxy_that_does_not_run(open_directory: Path, line: str, state: str, words: str) -> None:
    config = open_directory / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=free_port()).replace('server one "${APP}" check', line))
    (product,) = [each for each in installed() if each.KIND == "haproxy"]
    proxy = msgspec.structs.replace(described(LocalHost(), product, str(config), ("haproxy",)), exe="/usr/sbin/haproxy")
    now = Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,))
    told = config_test.collect(LocalHost(), now, CollectOptions())
    assert told.value is not None and told.value[0].test == state
    assert words in "".join([*(each.message for each in told.value[0].problems), *(gap.reason for gap in told.gaps)])


def test_what_another_user_could_change_is_not_tested_as_root(haproxy: tuple[int, Path]) -> None:
    pid, config = haproxy
    os.chown(config, 65534, 65534)
    proxy, gaps = examined(pid)
    assert proxy.test == "unknown"
    assert "users other than root" in gaps[0].reason


def test_a_change_that_is_not_loaded(haproxy: tuple[int, Path]) -> None:
    pid, config = haproxy
    proxy, _ = examined(pid)
    assert proxy.changed_at is not None and proxy.loaded_at is not None
    assert proxy.changed_at < proxy.loaded_at
    os.utime(config, (time.time() + 60, time.time() + 60))
    proxy, _ = examined(pid)
    assert proxy.changed_at is not None and proxy.loaded_at is not None
    assert proxy.changed_at > proxy.loaded_at
