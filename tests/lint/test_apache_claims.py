"""The claims of rules about Apache httpd that need a stuck application, TLS or a balancer, checked with a real one."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from free_ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("apache2") is None, reason="needs apache2")]

MODULES = Path("/usr/lib/apache2/modules")
USED = "mpm_event authz_core proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm ssl socache_shmcb".split()
MAIN = """\
ServerRoot {at}
ServerName gate
PidFile {at}/pid
DefaultRuntimeDir {at}
Mutex posixsem
ErrorLog {at}/error.log
LogLevel warn
Listen 127.0.0.1:{port}
"""


@contextmanager
def httpd(at: Path, lines: str) -> Iterator[int]:
    """Run a httpd with these lines, and yield its port."""
    port = free_port()
    loads = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in USED)
    config = at / "httpd.conf"
    config.write_text(loads + MAIN.format(at=at, port=port) + lines)
    process = subprocess.Popen(["apache2", "-X", "-f", config], stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        while not (at / "pid").exists():
            assert process.poll() is None, process.stderr.read() + (at / "error.log").read_bytes()
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def asked(port: int, path: str, host: str = "gate") -> int:
    """Return the status of a request."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path, headers={"Host": host})
    status = client.getresponse().status
    client.close()
    return status


class Stuck(BaseHTTPRequestHandler):
    """Answers a path with `hang` in it only once it is released."""

    released = threading.Event()

    def do_GET(self) -> None:
        """Answer."""
        if "hang" in self.path:
            self.released.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stuck() -> Iterator[int]:
    """Yield the port of an application that answers a path with `hang` in it only after the test."""
    Stuck.released.clear()
    app = ThreadingHTTPServer(("127.0.0.1", 0), Stuck)
    app.daemon_threads = True
    threading.Thread(target=app.serve_forever, daemon=True).start()
    yield app.server_port
    Stuck.released.set()
    app.shutdown()
    app.server_close()


def test_parameters_of_a_second_line_are_ignored(tmp_path: Path, stuck: int) -> None:
    """W502-403."""
    shared = f"ProxyPass /a/ http://127.0.0.1:{stuck}/ timeout=1\nProxyPass /b/ http://127.0.0.1:{stuck}/b/ timeout=600\n"
    with httpd(tmp_path, shared) as port:
        assert asked(port, "/b/x") == 200
        assert asked(port, "/b/hang") == 502  # long before its own 600 s
    assert "AH01146: Ignoring parameter 'timeout=600'" in (tmp_path / "error.log").read_text()


def test_a_member_named_twice_is_one_worker(tmp_path: Path, stuck: int) -> None:
    """W502-412."""
    members = f"BalancerMember http://127.0.0.1:{stuck} timeout=1\nBalancerMember http://127.0.0.1:{stuck}/ timeout=600\n"
    balanced = f"<Proxy balancer://app>\n{members}</Proxy>\nProxyPass /app/ balancer://app/\n"
    manager = "<Location /members>\nSetHandler balancer-manager\n</Location>\n"
    with httpd(tmp_path, balanced + manager) as port:
        assert asked(port, "/app/x") == 200
        assert asked(port, "/app/hang") == 502
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("GET", "/members")
        page = client.getresponse().read().decode()
        client.close()
    assert page.count(f">http://127.0.0.1:{stuck}") == 1, page
    assert "AH01150: Ignoring parameter 'timeout=600'" in (tmp_path / "error.log").read_text()


class OfOneName(BaseHTTPRequestHandler):
    """A site that knows one name."""

    def do_GET(self) -> None:
        """Answer 421 to other names."""
        self.send_response(200 if self.headers["Host"].startswith("localhost") else 421)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_site_does_not_know_the_host_of_the_client(tmp_path: Path) -> None:
    """W502-413."""
    pair = tmp_path / "pair.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(pair), "-out", str(pair))
    made = subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=localhost"], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    names: list[str | None] = []
    is_strict = False

    def chosen(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        names.append(name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if is_strict and name != "localhost" else None

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    context.sni_callback = chosen  # type: ignore[assignment]  # its name may be None
    site = ThreadingHTTPServer(("127.0.0.1", 0), OfOneName)
    site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    passed = (
        f"SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\nProxyPass / https://localhost:{site.server_port}/\n"
    )
    try:
        with httpd(tmp_path, f"{passed}ProxyPreserveHost On\n") as port:
            assert asked(port, "/", "shop.example") == 421
            assert names[-1] == "shop.example"
            is_strict = True
            assert asked(port, "/", "shop.example") in (500, 502)
        (tmp_path / "pid").unlink(missing_ok=True)
        with httpd(tmp_path, f"{passed}ProxyPreserveHost Off\n") as port:
            assert asked(port, "/", "shop.example") == 200
    finally:
        site.shutdown()
        site.server_close()
