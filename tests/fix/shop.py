"""A small shop to repair: a real nginx in a temporary directory, with an application behind one of its two routes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from free_ports import free_port
from serving import answering

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.config import edit
from why502.config.tree import nodes, recorded
from why502.fix import commands
from why502.fix.plan import Plan
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.fix.verify import Verdict
from why502.gateways.nginx.config import parse
from why502.host.local import LocalHost
from why502.model.proxy import Proxy
from why502.model.remedy import Edit
from why502.model.snapshot import LiveSnapshot, Snapshot
from why502.remedies.changes import reload

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HELPS = Verdict(helps=True, message="it helps")
MAIN = """\
{user}
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{
    worker_connections 64;
}}
http {{
    access_log {root}/access.log;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    include {root}/sites-enabled/*;
}}
"""
SITE = """\
server {{
    listen 127.0.0.1:{port};
    server_name shop.example;
    location / {{
        proxy_pass http://127.0.0.1:{wrong};
    }}
    location /well/ {{
        proxy_pass http://127.0.0.1:{right};
    }}
}}
"""


class Shop:
    """`site` is the file to repair: its first route names a port without a listener."""

    def __init__(self, root: Path, application: int) -> None:
        self.root, self.right = root, application
        self.port, self.wrong = free_port(), free_port()
        self.config, self.site, self.state = root / "nginx.conf", root / "sites-enabled/shop", root / "state"
        self.site.parent.mkdir()
        self.state.mkdir()
        self.config.write_text(MAIN.format(root=root, user="user root;" if os.geteuid() == 0 else ""))
        self.old = SITE.format(port=self.port, wrong=self.wrong, right=self.right).encode()
        self.new = self.old.replace(str(self.wrong).encode(), str(self.right).encode())
        self.site.write_bytes(self.old)
        assert NGINX
        self.program = (NGINX, "-p", str(root), "-c", str(self.config), "-e", str(root / "error.log"))

    @property
    def proxy(self) -> Proxy:
        """The proxy as a snapshot contains it."""
        files = tuple(recorded(str(path), path.read_bytes()) for path in (self.config, self.site))
        pid, pid_file = self.pid(), str(self.root / "nginx.pid")
        return Proxy(
            exe=self.program[0], options=self.program[1:], config=str(self.config), pid=pid, pid_file=pid_file, files=files
        )

    def pid(self) -> int:
        return int((self.root / "nginx.pid").read_text())

    def plan(self, *edits: Edit) -> Plan:
        """Return the plan that repairs the shop, or one with other changes."""
        changes = edits or (self.change(str(self.wrong), str(self.right)),)
        return Plan(
            cause="wrong-port",
            message="a wrong port",
            remedy="name the right one",
            edits=changes,
            runs=reload(self.proxy),
            proxy=self.proxy,
        )

    def change(self, old: str, new: str) -> Edit:
        """Return the change of the first directive with an argument that contains the text."""
        tree = parse(self.site.read_bytes(), str(self.site))
        word = next(word for node in nodes(tree) for word in node.words if old in word.value)
        return edit.replace(tree, word.start, word.end, word.value.replace(old, new))

    def snapshot(self) -> Snapshot:
        """Take a real snapshot."""
        return LiveSnapshot.of(collect(LocalHost(), datetime.now(UTC), None, None, CollectOptions(configs=(str(self.config),))))

    def apply(self, plan: Plan | None = None, progress: Progress | None = None) -> str:
        """Apply the plan without sending requests; return its final phase."""
        return str(apply(plan or self.plan(), self.state, NOW, (), lambda _: HELPS, progress or Progress()).phase)

    def apply_reload(self) -> None:
        """Make nginx load the files on disk; return when only new workers serve."""
        commands.execute((*self.program, "-s", "reload"), commands.Master(pid_file=str(self.root / "nginx.pid")))

    def status(self, path: str = "/") -> int:
        """Return the status of nginx's response."""
        return status_of(self.port, path)[0]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; fail after 20 s."""
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def check(self) -> None:
        """Assert that the configuration on disk is valid, that no file of ours is left beside it, and that nginx serves."""
        done = subprocess.run([*self.program, "-t"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert self.status("/well/") == 200


@contextlib.contextmanager
def shop() -> Iterator[Shop]:
    """Yield a running shop; remove it completely afterwards."""
    root = Path(tempfile.mkdtemp(prefix="why502-fix-"))
    root.chmod(0o755)
    try:
        with application() as port:
            found = Shop(root, port)
            subprocess.run(found.program, check=True, capture_output=True)
            try:
                found.until(lambda: bool(commands.Master(pid_file=str(root / "nginx.pid")).workers()))
                yield found
            finally:
                stop(found)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def application() -> Iterator[int]:
    """Yield the port of a running application."""
    with answering(b"ok") as server:
        yield server.server_port


def status_of(port: int, path: str) -> tuple[int, str, str]:
    """Return status, media type and body of a response."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read().decode()


def stop(found: Shop) -> None:
    """Stop nginx, and wait until its master has exited."""
    with contextlib.suppress(OSError, ValueError):
        pid = found.pid()
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
            time.sleep(0.01)
