"""The real nginx as an oracle: what it reads, refuses and does, in its own directory and on unix sockets only."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.model.errors import HostError, Missing

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/nginx/sbin") or ""
needs_nginx = pytest.mark.skipif(not PROGRAM or os.geteuid() != 0, reason="needs nginx, and root to start it")


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise Missing("no such file") from error
    except OSError as error:
        raise HostError(str(error)) from error


def listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        raise Missing("no such directory") from error


def write(directory: Path, files: dict[str, str | bytes]) -> Path:
    """Write the files below a directory that nginx can use as prefix; return the main one, `nginx.conf`."""
    for name in ("logs", "run"):
        (directory / name).mkdir(exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory / "nginx.conf"


def _run(option: str, main: Path) -> subprocess.CompletedProcess[bytes]:
    argv = [PROGRAM, option, "-c", str(main), "-p", str(main.parent), "-e", "stderr"]
    return subprocess.run(argv, capture_output=True, timeout=30, check=False)


def refusal(main: Path) -> tuple[str, str, int] | None:
    """Return nginx's error message for the configuration, and its position; None if nginx accepts it."""
    done = _run("-t", main)
    if done.returncode == 0:
        return None
    said = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*?)(?: in (\S+?):(\d+))?$", done.stderr.decode("utf-8", "replace"), re.MULTILINE)
    assert said, done.stderr
    return said[1], said[2] or "", int(said[3] or 0)


def dump(main: Path) -> bytes:
    done = _run("-T", main)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build_arguments() -> tuple[str, ...]:
    done = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, timeout=30, check=True)
    return tuple(shlex.split(done.stderr.partition("configure arguments:")[2]))


@contextlib.contextmanager
def running(directory: Path, http: str, main: str = "") -> Iterator[Path]:
    """Run nginx with this content of `http`, its sockets and logs below the directory; yield its configuration file."""
    temp = "".join(f"{x}_temp_path {directory}/t_{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = write(
        directory,
        {
            "nginx.conf": f"user root;\nworker_processes 1;\npid {directory}/run/nginx.pid;\n{main}\n"
            f"events {{ worker_connections 256; }}\nhttp {{\n{temp}\n{http}\n}}\n"
        },
    )
    argv = [PROGRAM, "-c", str(config), "-p", str(directory), "-e", str(directory / "logs/first.log"), "-g", "daemon off;"]
    process = subprocess.Popen(argv)
    try:
        end = time.monotonic() + 20
        while not list(directory.glob("*.sock")) or not (directory / "run/nginx.pid").exists():
            assert process.poll() is None, (directory / "logs/first.log").read_text()
            assert time.monotonic() < end, "nginx does not start"
            time.sleep(0.01)
        yield config
    finally:
        process.send_signal(signal.SIGQUIT if process.poll() is None else 0)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(path: Path, uri: str, host: str = "x", method: str = "GET") -> tuple[int, str]:
    """Return status and body of a request over a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(f"{method} {uri} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()
