"""The rules about Apache httpd: each reports its finding and no other, and a running httpd does what they say."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from free_ports import free_port
from lint_sample import Pair, found, has_samples

from why502.linter.engine import RULES

MAIN = "/site/httpd.conf"
APP = "http://127.0.0.1:3000"
MODULES = Path("/usr/lib/apache2/modules")


@dataclass(frozen=True)
class Sample(Pair):
    """`top`: what stands outside of the virtual host."""

    top: str = ""


def whole(*hosts: str, top: str = "") -> str:
    """Return a main configuration with these virtual hosts."""
    made = "".join(
        f"<VirtualHost *:80>\n  ServerName s{number}.example\n{text}\n</VirtualHost>\n" for number, text in enumerate(hosts)
    )
    return f"ServerRoot /etc/httpd\nListen 80\n{top}\n{made}"


def host(lines: str) -> str:
    """Return a virtual host in which some redirects are changed."""
    return f"{lines}\nProxyPassReverse /changed/ {APP}/\n"


ROOT = f"ProxyPass / {APP}/"
API = "ProxyPass /api http://127.0.0.1:3001/api"
MEMBER = "<Proxy balancer://app>\nBalancerMember {}\nBalancerMember {}\n</Proxy>\nProxyPass / balancer://app/"
SAMPLES = (
    Sample(400, host(f"{ROOT}\n{API}"), host(f"{API}\n{ROOT}")),
    Sample(400, host(f"{ROOT}\nProxyPass /static !"), host(f"ProxyPass /static !\n{ROOT}")),
    Sample(401, host(f"ProxyPass /app/ {APP}/app"), host(f"ProxyPass /app/ {APP}/app/")),
    Sample(401, host(f"ProxyPass / {APP}"), host(f"ProxyPass /app {APP}")),
    Sample(402, host(f"ProxyPass /app {APP}/"), host(f"ProxyPass /app {APP}/app")),
    Sample(
        403,
        host(f"ProxyPass /a/ {APP}/ timeout=5\nProxyPass /b/ {APP}/b/ timeout=60"),
        host(f"ProxyPass /b/ {APP}/b/ timeout=60\nProxyPass /a/ {APP}/ timeout=5"),
    ),
    Sample(404, host("ProxyPass / http://127.0.0.1:80/"), host("ProxyPass / http://127.0.0.1:8080/")),
    Sample(404, host("ProxyPass / http://localhost/"), host("ProxyPass /a/ http://localhost/b/")),
    Sample(405, ROOT, host(ROOT)),
    Sample(405, ROOT, f"ProxyPreserveHost On\n{ROOT}"),
    Sample(406, f"RewriteRule ^/(.*) {APP}/$1 [P,L]", f"RewriteEngine On\nRewriteRule ^/(.*) {APP}/$1 [P,L]"),
    Sample(407, f"{ROOT}\nProxyPassReverse / http://127.0.0.1:3001/", f"{ROOT}\nProxyPassReverse / {APP}/"),
    Sample(407, f"{ROOT}\nProxyPassReverse / https://127.0.0.1:3000/", f"{ROOT}\nProxyPassReverse / https://s0.example/"),
    Sample(
        407,
        f"<Location /app>\nProxyPass {APP}/app\nProxyPassReverse http://localhost:3000/app\n</Location>",
        f"ProxyPreserveHost On\n{ROOT}\nProxyPassReverse / http://127.0.0.1:3001/",
    ),
    Sample(
        410,
        host("ProxyPass / https://10.0.0.7/"),
        host("SSLProxyEngine on\nProxyPass / https://10.0.0.7/"),
    ),
    Sample(
        410,
        "RewriteEngine On\nRewriteRule ^/(.*) https://10.0.0.7/$1 [P]",
        "SSLProxyEngine on\nRewriteEngine On\nRewriteRule ^/(.*) https://10.0.0.7/$1 [P]",
    ),
    Sample(411, host("ProxyPass / balancer://app/"), host(MEMBER.format(APP, "http://127.0.0.1:3001"))),
    Sample(412, host(MEMBER.format(APP, f"{APP}/")), host(MEMBER.format(APP, "http://127.0.0.1:3001"))),
    Sample(
        413,
        "SSLProxyEngine on\nProxyPreserveHost On\nProxyPass / https://api.shop.com/",
        "SSLProxyEngine on\nProxyPreserveHost On\nProxyPass / https://10.0.0.7/",
    ),
)
_IDS = [f"{sample.rule}-{RULES[sample.rule].name}-{number}" for number, sample in enumerate(SAMPLES)]


def test_every_rule_has_a_sample() -> None:
    assert has_samples("apache", SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_speaks_alone(sample: Sample) -> None:
    risks = found({MAIN: whole(sample.bad, top=sample.top)})
    assert {risk.rule for risk in risks} == {sample.rule}, [(risk.rule, risk.message) for risk in risks]
    assert all(risk.at and risk.at.line > 1 and risk.remedies for risk in risks)


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_is_silent(sample: Sample) -> None:
    assert found({MAIN: whole(sample.good, top=sample.top)}) == ()


def test_a_fragment_is_read_without_its_main_file() -> None:
    text = whole(host("ProxyPass / https://10.0.0.7/\nProxyPass /x balancer://elsewhere")).partition("Listen 80\n")[2]
    risks = found({"/site/shop.conf": text.replace("ServerName", "CustomLog ${APACHE_LOG_DIR}/a.log combined\nServerName")})
    assert {(risk.rule, risk.severity.value) for risk in risks if risk.severity} == {
        ("W502-400", "warning"),
        ("W502-410", "warning"),
    }


def test_other_virtual_hosts_of_the_port_may_answer() -> None:
    assert found({MAIN: whole(host("ProxyPass / http://127.0.0.1:80/"), "DocumentRoot /x")}) == ()


class App(BaseHTTPRequestHandler):
    """Answers with the path that it was asked for; below /moved with a redirect to its own address."""

    def do_GET(self) -> None:
        """Answer."""
        body = self.requestline.split()[1].encode()  # `path` has no two slashes
        self.send_response(302 if body.startswith(b"/moved") else 200)
        self.send_header("Location", f"http://{self.headers['Host']}/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


CLAIMS = """\
ServerRoot {at}
ServerName gate
PidFile {at}/pid
DefaultRuntimeDir {at}
Mutex posixsem
ErrorLog {at}/error.log
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{loop}
<VirtualHost *:{loop}>
  ServerName loop.example
  ProxyPass / http://127.0.0.1:{loop}/ timeout=2
</VirtualHost>
<VirtualHost *:{port}>
  ServerName enters.example
  ProxyPass / http://127.0.0.1:{loop}/ timeout=9
</VirtualHost>
<VirtualHost *:{port}>
  ServerName passes.example
  ProxyPass /slash/ http://127.0.0.1:{app}/app
  ProxyPass /double http://127.0.0.1:{app}/
  ProxyPass /empty balancer://empty/
  ProxyPass /tls https://127.0.0.1:{app}/
  ProxyPass /first http://127.0.0.1:{app}/one
  ProxyPass /first/second http://127.0.0.1:{app}/two
  ProxyPass /first/excluded !
</VirtualHost>
<VirtualHost *:{port}>
  ServerName bare.example
  ProxyPass / http://127.0.0.1:{app}/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName host.example
  ProxyPass / http://127.0.0.1:{app}
</VirtualHost>
<VirtualHost *:{port}>
  ServerName port.example
  ProxyPass / http://127.0.0.1:{app}/
  ProxyPassReverse / http://127.0.0.1:1/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName named.example
  ProxyPass / http://127.0.0.1:{app}/
  ProxyPassReverse / http://localhost:{app}/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName tls.example
  ProxyPass / http://127.0.0.1:{app}/
  ProxyPassReverse / https://127.0.0.1:{app}/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName preserved.example
  ProxyPreserveHost On
  ProxyPass / http://127.0.0.1:{app}/
  ProxyPassReverse / http://127.0.0.1:1/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName reversed.example
  ProxyPass / http://127.0.0.1:{app}/
  ProxyPassReverse / http://127.0.0.1:{app}/
</VirtualHost>
<VirtualHost *:{port}>
  ServerName rewrites.example
  RewriteRule ^/(.*) http://127.0.0.1:{app}/$1 [P,L]
</VirtualHost>
"""
USED = "mpm_event authz_core proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm rewrite ssl socache_shmcb".split()


@pytest.fixture
def httpd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the port of a running httpd with the claims, and its error log."""
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    port, loop = free_port(), free_port()
    loads = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in USED)
    config = tmp_path / "httpd.conf"
    config.write_text(loads + CLAIMS.format(at=tmp_path, port=port, loop=loop, app=app.server_port))
    process = subprocess.Popen(["apache2", "-X", "-f", config], stderr=subprocess.PIPE)
    assert process.stderr is not None
    while not (tmp_path / "pid").exists():
        assert process.poll() is None, process.stderr.read() + (tmp_path / "error.log").read_bytes()
        time.sleep(0.01)
    yield port, tmp_path / "error.log"
    process.terminate()
    process.communicate(timeout=20)
    app.shutdown()
    app.server_close()


def asked(port: int, name: str, path: str) -> tuple[int, str]:
    """Return status and body of a request."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path, headers={"Host": name})
    answer = client.getresponse()
    body = answer.read().decode("latin-1")
    client.close()
    return answer.status, body


def location(port: int, name: str) -> str:
    """Return where the redirect of a virtual host leads."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", "/moved", headers={"Host": name})
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.headers["Location"]


@pytest.mark.real
@pytest.mark.skipif(shutil.which("apache2") is None, reason="needs apache2")
def test_httpd_changes_only_redirects_that_begin_with_the_url(httpd: tuple[int, Path]) -> None:
    port, _ = httpd
    assert location(port, "bare.example").startswith("http://127.0.0.1:")  # 405
    assert location(port, "reversed.example") == "http://reversed.example/login"
    assert location(port, "preserved.example") == "http://preserved.example/login"
    for name in ("port.example", "named.example", "tls.example"):
        assert location(port, name).startswith("http://127.0.0.1:"), name


@pytest.mark.real
@pytest.mark.skipif(shutil.which("apache2") is None, reason="needs apache2")
def test_httpd_does_so(httpd: tuple[int, Path]) -> None:
    port, log = httpd
    assert asked(port, "passes.example", "/slash/x") == (200, "/appx")  # 401
    assert asked(port, "host.example", "/x")[0] in (400, 500, 502, 503)  # 401: it is a part of the port
    assert asked(port, "passes.example", "/double/x") == (200, "//x")  # 402
    assert asked(port, "passes.example", "/empty/x")[0] == 503  # 411
    assert asked(port, "passes.example", "/tls/x")[0] == 500  # 410
    assert "failed to enable ssl support" in log.read_text()
    assert asked(port, "passes.example", "/first/second/x") == (200, "/one/second/x")  # 400
    assert asked(port, "passes.example", "/first/excluded") == (200, "/one/excluded")  # 400
    assert asked(port, "rewrites.example", "/x")[0] == 404  # 406
    assert asked(port, "enters.example", "/x")[0] in (502, 503, 504)  # 404: nothing is behind the virtual host but itself
