"""Run in its own namespaces, as root: the machines of a proxy and of its backend, each with nginx or a service and a real sshd;
we are on a third one.

usage: two_machines.py FOLDER; writes the outputs of several command lines as one JSON object. The three machines are network and
process namespaces on one bridge. They share all files but have their own /etc/nginx, /run and /var/log/nginx.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

OWN = """
mount -t tmpfs t /etc/nginx
mount -t tmpfs -o mode=755 t /run
mkdir -p /run/sshd /var/log/nginx
mount -t tmpfs -o mode=755 t /var/log/nginx
mount --bind /dev/null /dev/kmsg  # the kernel's log is one for all: what it kills elsewhere is not of these machines
exec sleep infinity
"""
CONFIG = """\
user root;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {}
http {
    access_log /var/log/nginx/access.log;
    server { listen 80; server_name shop.example; location / { proxy_pass http://10.9.8.2:3000; } }
}
"""


def until(condition: Callable[[], object], message: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.02)


def sh(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def machine(number: int) -> Iterator[tuple[str, ...]]:
    """Yield the command that enters a machine with the address 10.9.8.NUMBER."""
    space = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
    outer = subprocess.Popen([*space, "sh", "-c", f"hostname m{number}\n{OWN}"])
    try:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        until(lambda: children.read_text().split(), "a machine")
        pid = children.read_text().split()[0]
        until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == "sleep", "a machine that runs")
        inside = ("nsenter", f"--target={pid}", "--net", "--pid", "--mount", "--uts", "--")
        sh("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", pid)
        sh("ip", "link", "set", f"v{number}", "master", "bridge", "up")
        sh(*inside, "ip", "address", "add", f"10.9.8.{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            sh(*inside, "ip", "link", "set", device, "up")
        yield inside
    finally:
        outer.kill()
        outer.wait()


def main(directory: Path) -> None:
    program = directory / "bin" / "why502"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho Welcome, all is logged.\nexec {shlex.quote(sys.executable)} -m why502 "$@"\n')
    program.chmod(0o755)
    for name in ("host", "user"):
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name))
    (directory / "authorized").write_text((directory / "user.pub").read_text())
    root = str(Path(__file__).parents[2])
    sshd = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", str(directory / "host")]
    for option in (
        f"AuthorizedKeysFile={directory}/authorized",
        "StrictModes=no",
        "UsePAM=no",
        "PidFile=none",
        "PermitRootLogin=yes",
    ):
        sshd += ["-o", option]
    (directory / "bin" / "ssh").write_text(
        f"#!/bin/sh\nexec /usr/bin/ssh -F none -i {directory}/user -o UserKnownHostsFile={directory}/known -o "
        f'StrictHostKeyChecking=accept-new "$@"\n'
    )
    (directory / "bin" / "ssh").chmod(0o755)
    sh("ip", "link", "add", "bridge", "type", "bridge")
    sh("ip", "address", "add", "10.9.8.9/24", "dev", "bridge")
    sh("ip", "link", "set", "bridge", "up")
    mine = {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}", "PYTHONPATH": root}

    def ask(*argv: str) -> dict[str, object]:
        line = [sys.executable, "-m", "why502", "diagnose", *argv]
        done = subprocess.run(line, check=False, capture_output=True, text=True, env=mine, timeout=100)
        return {"status": done.returncode, "out": done.stdout, "err": done.stderr}

    with machine(1) as proxy, machine(2) as backend:
        servers = []
        try:
            for inside in (proxy, backend):
                path = f"SetEnv=PATH={directory}/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH={root}"
                servers.append(subprocess.Popen([*inside, *sshd, "-o", path], stderr=subprocess.DEVNULL))
                until(lambda inside=inside: ":22 " in sh(*inside, "ss", "-ltnH").stdout, "sshd")  # type: ignore[misc]
            sh(*proxy, "sh", "-c", "cat > /etc/nginx/nginx.conf", input=CONFIG)
            sh(*proxy, "nginx")
            other = "import http.server as h; h.HTTPServer(('10.9.8.2', 3001), h.SimpleHTTPRequestHandler).serve_forever()"
            servers.append(subprocess.Popen([*backend, sys.executable, "-c", other], stderr=subprocess.DEVNULL))
            until(lambda: ":3001 " in sh(*backend, "ss", "-ltnH").stdout, "the application")
            for _ in range(3):
                sh("curl", "-s", "-o", str(directory / "page"), "-H", "Host: shop.example", "http://10.9.8.1/")
            one, two = "ssh://root@10.9.8.1", "ssh://10.9.8.2:22"
            answers = {
                "proxy": ask("--host", one, "--format", "json"),
                "both": ask("--host", two, "--host", one, "--format", "json"),
                "backend": ask("--host", two),
                "one-away": ask("--host", one, "--host", "ssh://10.9.8.1:9", "--format", "json"),
                "away": ask("--host", "ssh://10.9.8.1:9"),
            }
            program.unlink()
            answers["not-installed"] = ask("--host", one)
            print(json.dumps(answers))
        finally:
            for server in servers:
                server.kill()
                server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
