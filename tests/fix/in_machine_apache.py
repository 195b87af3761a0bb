"""Run under its own systemd: a limit of Apache is raised where it is written, and the repair undone.

Usage: in_machine_apache.py workers|servers
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from free_ports import free_port
from in_machine_crowd import crowd, start_application, waiting
from in_machine_gateways import fix, status_of_path, until

FILE = Path("/etc/apache2/conf-enabled/shop.conf")
WORKERS = Path("/etc/apache2/mods-enabled")
SITE = """\
Listen 127.0.0.1:{port}
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
<VirtualHost 127.0.0.1:{port}>
    ServerName shop.example
    ProxyTimeout 40
    ProxyPass / "http://127.0.0.1:{behind}/"
    CustomLog /var/log/apache2/shop.log combined
    ErrorLog /var/log/apache2/shop-error.log
</VirtualHost>
"""
FEW = "StartServers 1\nMinSpareServers 1\nMaxSpareServers 2\nServerLimit {servers}\n    MaxRequestWorkers 4\n"


def main() -> None:
    kind, port, behind = sys.argv[1], free_port(), free_port()
    Path("/etc/apache2/ports.conf").write_text("")
    Path("/var/log/apache2").mkdir(exist_ok=True)
    for site in Path("/etc/apache2/sites-enabled").glob("*"):
        site.unlink()
    for module in WORKERS.glob("mpm_*"):
        module.unlink()
    (WORKERS / "mpm.load").write_text("LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so\n")
    limits = WORKERS / "mpm.conf"
    limits.write_text(FEW.format(servers=64 if kind == "workers" else 4))
    FILE.write_text(SITE.format(port=port, behind=behind))
    subprocess.run(["systemctl", "stop", "nginx"], check=False, capture_output=True)
    tested = subprocess.run(["apachectl", "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    start_application(behind)
    subprocess.run(["systemctl", "restart", "apache2.service"], check=True)
    until(lambda: status_of_path(port, "/") == 200, "it serves")
    few(port, limits, kind)
    print("repaired and undone")


def few(port: int, limits: Path, kind: str) -> None:
    before = limits.read_bytes()
    with crowd(port):
        until(lambda: waiting(port) > 10, "clients wait")
        if kind == "servers":  # a restart is never made unless the cause is named
            argv = [sys.executable, "-m", "why502", "fix", "--apply", "--yes"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done
            assert "fixed only when named explicitly" in done.stderr, done.stderr
            assert limits.read_bytes() == before
        answer = fix("worker-connections-exhausted", "--apply", "--yes")
        assert (answer["outcome"], answer["unverified"]) == ("kept", None), answer
        text = limits.read_text()
        assert "MaxRequestWorkers 4\n" not in text, text
        assert ("ServerLimit 4\n" in text) is False, text
        assert ("systemctl" in str(answer["steps"]) and "restart" in str(answer["steps"])) == (kind == "servers"), answer
        until(lambda: waiting(port) == 0, "nobody waits")
        assert fix("--undo")["outcome"] == "reverted"
        assert limits.read_bytes() == before
        until(lambda: waiting(port) > 10, "clients wait again")


if __name__ == "__main__":
    main()
