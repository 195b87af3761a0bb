"""Running HAProxy and Apache servers are found with their files; real ones, on ports chosen by the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from first_answer import answers
from free_ports import free_port

from why502.collectors.other_running import masters, one, others, that_serve
from why502.host.local import LocalHost
from why502.machine.process_table import ProcessTable, Stat
from why502.machine.suppliers import Allowance
from why502.model.config import Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap
from why502.model.target import Target

pytestmark = pytest.mark.real
MODULES = Path("/usr/lib/apache2/modules")
APACHE = """\
ServerRoot {directory}
ServerName shop.example
PidFile {directory}/pid
Mutex file:{directory}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
Listen 127.0.0.1:{port}
User www-data
Group www-data
ErrorLog error.log
{more}
"""


@contextmanager
def serving(port: int, *argv: str) -> Iterator[None]:
    """Run a server in the foreground, from its first answer (its port listens before its workers run) until the block ends."""
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while True:
                assert process.poll() is None and time.monotonic() < end, f"{argv[0]} does not serve"
                if answers(port):
                    break
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def found(directory: Path) -> list[Proxy]:
    """Return the proxies with files in a directory."""
    host = LocalHost()
    return [proxy for proxy in others(host, ProcessTable(host), {}, []) if proxy.config.startswith(str(directory))]


def program(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/bin")
    if path is None:
        pytest.skip(f"needs {name}")
    return path


@pytest.mark.parametrize("flags", [(), ("-Ws",)], ids=["one-process", "master-and-worker"])
def test_haproxy(tmp_path: Path, flags: tuple[str, ...]) -> None:
    port = free_port()
    (tmp_path / "conf").mkdir()
    (tmp_path / "a.cfg").write_text("defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n")
    text = f"listen web\n  mode http\n  bind 127.0.0.1:{port}\n  server a1 127.0.0.1:3001\n  timeout connect 1s\n"
    (tmp_path / "conf" / "web.cfg").write_text(f"{text}  timeout client 1s\n  timeout server 2s\n")
    with serving(port, program("haproxy"), *flags, "-db", "-f", f"{tmp_path}/a.cfg", "-f", f"{tmp_path}/conf"):
        (proxy,) = found(tmp_path)
    assert (proxy.kind, proxy.is_running, proxy.config) == ("haproxy", True, f"{tmp_path}/a.cfg")
    assert [file.path for file in proxy.files] == [f"{tmp_path}/a.cfg", f"{tmp_path}/conf/web.cfg"]
    assert [peer.target for route in proxy.routes for peer in route.peers] == [Target(host="127.0.0.1", port=3001)]


@pytest.mark.parametrize("includes", [True, False])
def test_apache(open_directory: Path, includes: bool) -> None:
    httpd, port = program("apache2"), free_port()
    (open_directory / "sites").mkdir()
    site = (
        f"<VirtualHost *:{port}>\nProxyPass /app/ http://127.0.0.1:3001/\nCustomLog {open_directory}/access.log common\n</"
        f"VirtualHost>\n"
    )
    (open_directory / "sites" / "shop.conf").write_text(site)
    more = "IncludeOptional sites/*.conf" if includes else ""
    (open_directory / "httpd.conf").write_text(APACHE.format(directory=open_directory, modules=MODULES, port=port, more=more))
    with serving(port, httpd, "-X", "-f", f"{open_directory}/httpd.conf"):
        proxies = found(open_directory)
    if not includes:  # it has no routes
        assert proxies == []
        return
    (proxy,) = proxies
    assert (proxy.kind, proxy.is_running, proxy.config) == ("apache", True, f"{open_directory}/httpd.conf")
    assert [route.at and (route.at.file, route.at.line) for route in proxy.routes] == [(f"{open_directory}/sites/shop.conf", 2)]
    assert {(log.kind, log.path) for log in proxy.logs} == {
        ("error", f"{open_directory}/error.log"),
        ("access", f"{open_directory}/access.log"),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server changes its user")
def test_its_workers_are_the_ones_that_connect(open_directory: Path) -> None:
    httpd, port = program("apache2"), free_port()
    text = APACHE.format(directory=open_directory, modules=MODULES, port=port, more="ProxyPass / http://127.0.0.1:3001/")
    (open_directory / "httpd.conf").write_text(text)
    with serving(port, httpd, "-DFOREGROUND", "-f", f"{open_directory}/httpd.conf"):
        (proxy,) = found(open_directory)
    assert proxy.user == "www-data"
    assert proxy.workers[0].user == "www-data"
    assert {worker.ppid for worker in proxy.workers} == {proxy.pid}


@pytest.mark.parametrize("option", ["--config", "--config=", "-c"])
def test_a_caddy_as_its_command_line_names_its_file(tmp_path: Path, option: str) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "Caddyfile").write_text("import sites/*.caddy\n")
    (tmp_path / "sites" / "shop.caddy").write_text(":8099 {\n  reverse_proxy 127.0.0.1:3001\n}\n")
    (tmp_path / "wait.py").write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    (tmp_path / "caddy").symlink_to(sys.executable)  # the kernel takes the process name from the executed file
    named = [f"{option}{tmp_path}/Caddyfile"] if option.endswith("=") else [option, f"{tmp_path}/Caddyfile"]
    argv = [str(tmp_path / "caddy"), str(tmp_path / "wait.py"), "run", *named]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            (proxy,) = found(tmp_path)
        finally:
            process.kill()
    assert (proxy.kind, proxy.pid, proxy.config) == ("caddy", process.pid, f"{tmp_path}/Caddyfile")
    assert [(str(route.peers[0].target), route.at and route.at.file) for route in proxy.routes] == [
        ("127.0.0.1:3001", f"{tmp_path}/sites/shop.caddy")
    ]


def test_an_haproxy_whose_file_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "gone.cfg"
    config.write_text(f"listen web\n  bind 127.0.0.1:{port}\n  server a1 127.0.0.1:3001\n")
    with serving(port, program("haproxy"), "-db", "-f", str(config)):
        config.unlink()
        host, gaps = LocalHost(), list[Gap]()
        proxies = others(host, ProcessTable(host), {}, gaps)
    assert not [proxy for proxy in proxies if proxy.config == str(config)]
    assert [gap.source for gap in gaps if str(config) in gap.reason] == ["proxies"]


ROUTE = Route(proxy="haproxy", passes="app")


@pytest.mark.parametrize(
    ("running", "kinds"),
    [
        ((Proxy(kind="apache", pid=2),), ["apache"]),
        ((Proxy(kind="nginx", pid=1), Proxy(kind="apache", pid=2)), ["nginx", "apache"]),
        ((Proxy(kind="nginx", pid=1, routes=(ROUTE,)), Proxy(kind="apache", pid=2)), ["nginx"]),
        ((Proxy(kind="apache", pid=2, network="4026532000"),), []),
        ((Proxy(kind="apache", pid=2), Proxy(kind="apache", pid=3, routes=(ROUTE,))), ["apache"]),
    ],
    ids=["alone", "beside one without routes", "a backend", "in a container", "beside its own kind"],
)
def test_a_web_server_counts_if_no_gateway_has_routes(running: tuple[Proxy, ...], kinds: list[str]) -> None:
    assert [proxy.kind for proxy in that_serve(list(running))] == kinds


def test_an_apache_without_routes_is_found_with_its_logs(tmp_path: Path) -> None:
    port = free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "httpd.conf").write_text(APACHE.format(directory=tmp_path, modules=MODULES, port=port, more=""))
    host = LocalHost()
    with serving(port, program("apache2"), "-f", str(tmp_path / "httpd.conf"), "-D", "FOREGROUND"):
        table = ProcessTable(host)
        found_all = [one(host, table, pid, name, uid, Allowance(), []) for uid, pid, name in masters(host, table)]
    (proxy,) = (proxy for proxy in found_all if proxy and proxy.config.startswith(str(tmp_path)))
    assert (proxy.routes, [log.path for log in proxy.logs]) == ((), [str(tmp_path / "error.log")])


class Emptied(ProcessTable):
    """A list of processes that is read when all of them have ended."""

    def stats(self) -> dict[int, Stat]:
        return {}


def test_a_gateway_that_ends_while_it_is_looked_at_costs_only_itself() -> None:
    """The processes of other containers come and go during a diagnosis."""
    host, gaps = LocalHost(), list[Gap]()
    assert one(host, Emptied(host), os.getpid(), "haproxy", 0, Allowance(), gaps) is None
    assert "it ended" in gaps[0].reason
