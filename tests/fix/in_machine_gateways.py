"""Run under its own systemd: a wrong port in the configuration of HAProxy or Apache is repaired, and the repair undone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from free_ports import free_port
from shop import application

HAPROXY = """\
global
    daemon
defaults
    mode http
    timeout connect 3s
    timeout client 9s
    timeout server 9s
frontend web
    bind 127.0.0.1:{port}
    default_backend app
backend app
    server app1 127.0.0.1:{wrong}  # the application
"""
APACHE = """\
Listen 127.0.0.1:{port}
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
<VirtualHost 127.0.0.1:{port}>
    ServerName shop.example
    ProxyPass / "http://127.0.0.1:{wrong}/"
    ProxyPassReverse / "http://127.0.0.1:{wrong}/"
</VirtualHost>
"""
PRODUCTS = {
    "haproxy": (Path("/etc/haproxy/haproxy.cfg"), HAPROXY, "haproxy.service"),
    "haproxy-without-unit": (Path("/etc/haproxy/haproxy.cfg"), HAPROXY, ""),
    "apache": (Path("/etc/apache2/conf-enabled/shop.conf"), APACHE, "apache2.service"),
}


def status(port: int) -> int:
    return status_of_path(port, "/")


def status_of_path(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until(condition: Callable[[], bool], message: str) -> None:
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.1)


def fix(*argv: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "why502", "fix", *argv, "--format", "json", "--state", "/srv/why502-state"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def main() -> None:
    path, text, unit = PRODUCTS[sys.argv[1]]
    port, wrong = free_port(), free_port()
    with application() as right:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(port=port, wrong=wrong))
        if sys.argv[1] == "apache":
            Path("/etc/apache2/ports.conf").write_text("")
            Path("/var/log/apache2").mkdir(exist_ok=True)
            for site in Path("/etc/apache2/sites-enabled").glob("*"):
                site.unlink()
        before = path.read_bytes()
        subprocess.run(["systemctl", "stop", "nginx"], check=False, capture_output=True)
        start = ["systemctl", "restart", unit] if unit else ["haproxy", "-W", "-D", "-f", str(path)]
        done = subprocess.run(start, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + subprocess.run(["journalctl", "-n", "30", "--no-pager"], capture_output=True,
        text=True, check=False).stdout  # fmt: skip
        until(lambda: status(port) == 503, f"it fails: {status(port)}")
        answer = fix("--apply", "--yes")
        assert (answer["cause"], answer["outcome"]) == ("wrong-port", "kept"), answer
        assert status(port) == 200
        assert str(right) in path.read_text()
        assert f":{wrong}" not in path.read_text()  # also in what httpd replaces in redirects
        assert fix("--undo")["outcome"] == "reverted"
        assert path.read_bytes() == before
        until(lambda: status(port) == 503, "it fails again")
    print("repaired and undone")


if __name__ == "__main__":
    main()
