"""HAProxy's health checks that begin with a PROXY header, against an Apache that expects one.

A header without addresses is too short for Apache (AH03513), and one of version 1 may have none. Over TCP, HAProxy's checks
have the addresses of their own connection, so that Apache takes them; why502 cannot know such addresses beforehand.
"""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
from free_ports import free_port
from gateways.running_fronts import serving

from why502.host.local import LocalHost
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import PROXY_HEADERS, Request

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (shutil.which("haproxy") and shutil.which("apache2")), reason="needs haproxy and apache2"),
]
HAPROXY = """\
global
    stats socket {at}/stats.sock
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen web
    bind unix@{at}/web.sock
    option httpchk GET /
    http-check expect status 200-499
    server first 127.0.0.1:{port} check inter 100ms send-proxy
    server second 127.0.0.1:{port} check inter 100ms send-proxy-v2
    server none 127.0.0.1:{port} check inter 100ms
"""
APACHE = """\
ServerRoot {at}
ServerName gate
PidFile {at}/pid
DefaultRuntimeDir {at}
Mutex posixsem
ErrorLog {at}/error.log
Listen 127.0.0.1:{port}
<VirtualHost *:{port}>
  RemoteIPProxyProtocol On
</VirtualHost>
"""


def checks(at: Path) -> dict[str, str]:
    """Return the result of each server's last health check."""
    with socket.socket(socket.AF_UNIX) as line, line.makefile("r") as answer:
        line.settimeout(30)
        line.connect(str(at / "stats.sock"))
        line.sendall(b"show stat\n")
        names, *rows = [row.rstrip(",\n").removeprefix("# ").split(",") for row in answer if row.strip()]
    named = [dict(zip(names, row, strict=False)) for row in rows]
    return {row["svname"]: row["check_status"] for row in named if row["svname"] not in ("FRONTEND", "BACKEND")}


def test_apache_takes_the_header_of_checks_but_not_the_shortest(tmp_path: Path) -> None:
    port = free_port()
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in ("mpm_event", "authz_core", "remoteip")
    )
    httpd, haproxy, log = tmp_path / "httpd.conf", tmp_path / "haproxy.cfg", tmp_path / "error.log"
    httpd.write_text(modules + APACHE.format(at=tmp_path, port=port))
    haproxy.write_text(HAPROXY.format(at=tmp_path, port=port))
    with serving(tmp_path, (tmp_path / "pid").exists, "apache2", "-X", "-f", str(httpd)):
        with serving(tmp_path, (tmp_path / "web.sock").exists, "haproxy", "-db", "-f", str(haproxy)):
            while any(result in ("INI", "") or result.startswith("*") for result in checks(tmp_path).values()):
                time.sleep(0.02)
            assert checks(tmp_path) == {"first": "L7OK", "second": "L7OK", "none": "L7RSP"}
        assert "AH03513" not in log.read_text()
        short = Request(target=Target(host="127.0.0.1", port=port), preamble=PROXY_HEADERS["v1"])
        found = probe(LocalHost(), short)
        assert found.symptom is None and "AH03513" in log.read_text()
