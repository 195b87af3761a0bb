"""A real nginx in a directory of its own, on ports that the kernel chooses, for tests of the sources."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from free_ports import free_port

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/nginx/sbin")

needs_nginx = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CONFIG = """\
{user}
worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/temp/body;
    proxy_temp_path {directory}/temp/proxy;
    fastcgi_temp_path {directory}/temp/fastcgi;
    uwsgi_temp_path {directory}/temp/uwsgi;
    scgi_temp_path {directory}/temp/scgi;
    server {{
        listen {listen};
        location / {{ proxy_pass {passes}; }}
    }}
}}
"""


def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail otherwise."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


def is_ready(pid: int) -> bool:
    """Return whether a worker has given up root's rights, after which nginx renames it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: worker process")


class Nginx:
    """An nginx below `directory`. `start` takes the words before and after the program's name."""

    def __init__(
        self, directory: Path, *, passes: str = "http://127.0.0.1:9", user: str = "www-data", workers: int = 1, listen: str = ""
    ) -> None:
        self.directory = directory
        self.config = directory / "nginx.conf"
        self.listen = listen or f"127.0.0.1:{free_port()}"
        (directory / "temp").mkdir(parents=True)
        self.write(passes=passes, user=user, workers=workers)

    def write(self, *, passes: str, user: str = "www-data", workers: int = 1) -> None:
        user = f"user {user};" if user and os.geteuid() == 0 else ""
        text = CONFIG.format(directory=self.directory, listen=self.listen, passes=passes, user=user, workers=workers)
        self.config.write_text(text)

    def start(self, *options: str, before: tuple[str, ...] = (), program: str = "") -> int:
        """Start it and return the master's pid once its workers run as their user: only then they are called "worker process"."""
        options = options or ("-c", str(self.config))
        subprocess.run((*before, program or PROGRAM, "-e", str(self.directory / "error.log"), *options), check=True, timeout=20)
        until(lambda: self.pid and (workers := self.workers()) and all(map(is_ready, workers)), "nginx has workers")
        return self.pid

    @property
    def pid(self) -> int:
        try:
            return int((self.directory / "nginx.pid").read_text())
        except (OSError, ValueError):
            return 0

    def workers(self) -> list[int]:
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []

    def stop(self) -> None:
        """Kill master and workers, and wait until they are gone."""
        if pid := self.pid:
            for number in (pid, *self.workers()):  # the master first: it would start new workers
                try:
                    os.kill(number, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            until(
                lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(),
                "nginx ends",
            )
