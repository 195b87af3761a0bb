"""Where each of httpd's servers is reached: `Listen` and `<VirtualHost>` together, in words and by requests to a real httpd."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from free_ports import free_port
from gateways.running_fronts import serving

from why502.gateways.apache import running
from why502.gateways.apache.config import load
from why502.host.local import LocalHost
from why502.model.target import Target
from why502.probing.entrance import of_route
from why502.probing.probe import probe


def reached(text: str) -> dict[str, tuple[str, ...]]:
    """Return the listen addresses of each route, by its path."""
    return {route.location: route.listens for route in load(text, "/etc/httpd.conf").routes}


def of_host(address: str, *listens: str, inside: str = "") -> tuple[str, ...]:
    lines = "\n".join(f"Listen {listen}" for listen in listens)
    text = f"{lines}\n<VirtualHost {address}>\n{inside}\nProxyPass / http://127.0.0.1:3000/\n</VirtualHost>\n"
    return reached(text)["/"]


@pytest.mark.parametrize(
    ("address", "listens", "expected"),
    [
        ("*:8080", ("80", "8080"), ("0.0.0.0:8080",)),
        ("*", ("80", "8080"), ("0.0.0.0:80", "0.0.0.0:8080")),
        ("*:*", ("80",), ("0.0.0.0:80",)),
        ("_default_:80", ("80",), ("0.0.0.0:80",)),
        ("10.0.0.5:80", ("80",), ("10.0.0.5:80",)),
        ("*:80", ("127.0.0.1:80", "[::1]:80"), ("127.0.0.1:80", "[::1]:80")),
        ("[2001:db8::5]:80 10.0.0.5:80", ("80",), ("[2001:db8::5]:80", "10.0.0.5:80")),
        ("10.0.0.5:80", ("127.0.0.1:80",), ()),  # no socket takes what is sent there
        ("*:81", ("80",), ()),
        ("*:443", ("443",), ("0.0.0.0:443 ssl",)),
        ("*:443", ("443 http",), ("0.0.0.0:443",)),
        ("*:8443", ("8443 https",), ("0.0.0.0:8443 ssl",)),
        ("*:8080", (), ("0.0.0.0:8080",)),  # a part of a configuration
        ("*", (), ()),
        ("*:80", ("${PORT}",), ("0.0.0.0:80",)),
        ("*:80", ("99999",), ("0.0.0.0:80",)),
    ],
)
def test_where_a_virtual_host_is_reached(address: str, listens: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert of_host(address, *listens) == expected


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("SSLEngine on", ("0.0.0.0:8080 ssl",)),
        ("SSLEngine off", ("0.0.0.0:8080",)),
        ("RemoteIPProxyProtocol On", ("0.0.0.0:8080 proxy_protocol",)),
        ("RemoteIPProxyProtocol Off", ("0.0.0.0:8080",)),
    ],
)
def test_what_a_virtual_host_speaks(inside: str, expected: tuple[str, ...]) -> None:
    assert of_host("*:8080", "8080", inside=inside) == expected


def test_the_main_server_is_reached_everywhere() -> None:
    """Its ProxyPass counts in each virtual host, too (mod_proxy merges them)."""
    text = "ProxyPass /main http://127.0.0.1:3000/\nListen 80\nListen 8080\n<VirtualHost *:80>\nProxyPass / !\n</VirtualHost>\n"
    assert reached(text) == {"/main": ("0.0.0.0:80", "0.0.0.0:8080")}


def test_only_what_is_in_force_is_listened_on() -> None:
    text = "LoadModule proxy_module m.so\nListen 80\n<IfModule ssl_module>\nListen 443\n</IfModule>\n"
    configuration = load(text, "/etc/httpd.conf")
    assert configuration.listens == (Target(host="0.0.0.0", port=80),)
    assert running.listens([], [configuration]) == ["0.0.0.0:80"]


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with the number of the server that passed the request."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@pytest.mark.real
def test_a_request_to_each_route_reaches_it(tmp_path: Path) -> None:
    """Each server of a real httpd has a status of its own, which a visitor's request to its route gets."""
    apache = shutil.which("apache2", path=f"/usr/sbin:{os.environ['PATH']}")
    assert apache is not None, "needs apache2"
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    plain, other, tls, preface = (free_port() for _ in range(4))
    subject = ("-subj", "/CN=shop.example", "-days", "2", "-nodes", "-newkey", "rsa:2048")
    subprocess.run(
        ["openssl", "req", "-x509", *subject, "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    servers = {
        (f"*:{plain}", ""): 211,
        (f"127.0.0.1:{other}", ""): 212,
        (f"*:{tls}", f"SSLCertificateFile {tmp_path}/cert.pem\nSSLCertificateKeyFile {tmp_path}/key.pem"): 213,
        (f"*:{preface}", "RemoteIPProxyProtocol On"): 214,
    }
    hosts = "".join(
        f"<VirtualHost {address}>\nServerName s{status}.example\n{inside}\n"
        f"ProxyPass / http://127.0.0.1:{backend.server_port}/{status}/\n</VirtualHost>\n"
        for (address, inside), status in servers.items()
    )
    modules = ("mpm_event", "authz_core", "proxy", "proxy_http", "ssl", "socache_shmcb", "remoteip")
    loads = "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in modules)
    listens = f"Listen {plain}\nListen {other}\nListen {tls} https\nListen {preface}\n"
    config = tmp_path / "httpd.conf"
    config.write_text(
        f"ServerRoot {tmp_path}\nServerName x\nPidFile {tmp_path}/pid\nErrorLog {tmp_path}/error.log\nMutex sem\n"
        f"{loads}{listens}{hosts}"
    )
    routes = load(config.read_text(), str(config)).routes
    with serving(tmp_path, (tmp_path / "pid").exists, apache, "-X", "-f", str(config)):
        found = {}
        for route in routes:
            request = of_route(route, ())
            assert request is not None
            found[route.server] = probe(LocalHost(), request).status
    backend.shutdown()
    backend.server_close()
    assert found == {f"s{status}.example": status for status in servers.values()}
