"""Servers for probes: a scripted one, and real ones, all on loopback or on unix sockets in their own directories."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import serve  # noqa: F401 - a fixture

from why502.host.local import LocalHost
from why502.model.snapshot import Probe
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request

Start = Callable[..., None]


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


@pytest.fixture
def ask(host: LocalHost) -> Callable[..., Probe]:
    """Probe a target with short limits; any field of the request can be given."""

    def probed(target: Target, **fields: object) -> Probe:
        return probe(host, Request(**{"target": target, "answer_s": 1.5, "connect_s": 1.5, "host": "example.com", **fields}))

    return probed


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path, since a unix socket's path is limited to 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="w5"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Return a function that starts a program and waits until its unix sockets accept; it is stopped at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, sockets: tuple[Path, ...]) -> None:
        log = (directory / "output").open("ab")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        log.close()
        running.append(process)
        until = time.monotonic() + 20
        for path in sockets:
            while not accepts(path):
                assert process.poll() is None, (directory / "output").read_text()
                assert time.monotonic() < until, (directory / "output").read_text()
                time.sleep(0.02)

    yield run
    for process in running:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.fixture
def nginx(directory: Path, start: Start) -> Callable[..., None]:
    """Return a function that starts nginx with the given servers; it listens on unix sockets of the directory."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("needs nginx")

    def run(servers: str, *sockets: str) -> None:
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (directory / name).mkdir(exist_ok=True)
        temporary = " ".join(f"{name}_temp_path {directory}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        text = f"""{user} daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log info;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {directory}/body; {temporary}
{servers.replace("$F", str(directory))}
}}
"""
        (directory / "nginx.conf").write_text(text)
        start(
            program,
            "-p",
            str(directory),
            "-c",
            str(directory / "nginx.conf"),
            sockets=tuple(directory / name for name in sockets),
        )

    return run
