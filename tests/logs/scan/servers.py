"""Real servers that hold logs: S3 (moto), Google Cloud Storage (its emulator), OpenSSH, a plain web server;
with what crossed the wire.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from free_ports import free_port

from why502.logs.scan import over_ssh

WAIT_S = 30


class Relay:
    """Passes connections on to a port, and counts the bytes that come back."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.received += len(data) if is_back else 0
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Ranges(SimpleHTTPRequestHandler):
    """Python's web server, which sends ranges as well (RFC 9110, 14), and keeps `/private/` for those with a password."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_head(self) -> Any:
        """Answer with a part where one is asked for."""
        if self.path.startswith("/private/") and not self.headers.get("Authorization"):
            self.send_error(401)
            return None
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if asked is None or not path.is_file():
            return super().send_head()
        start, end = int(asked[1]), min(int(asked[2]) + 1, path.stat().st_size)
        self.send_response(206)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{path.stat().st_size}")
        self.end_headers()
        stream = path.open("rb")
        stream.seek(start)
        self.wfile.write(stream.read(end - start))
        stream.close()
        return None


class WholeOnly(SimpleHTTPRequestHandler):
    """Python's web server as it is: it knows no ranges."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def web(directory: Path, handler: type[SimpleHTTPRequestHandler] = Ranges) -> Iterator[Relay]:
    """Serve a directory."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    relay = Relay(server.server_address[1])
    try:
        yield relay
    finally:
        relay.close()
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def _child(argv: list[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        done = threading.Event()
        for _ in range(WAIT_S * 20):
            if is_ready():
                break
            assert process.poll() is None, log.read_text()
            done.wait(0.05)
        else:
            raise AssertionError(log.read_text())
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)


def answers(port: int) -> bool:
    """Return whether something listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def s3(directory: Path) -> Iterator[Relay]:
    """Run an S3 server; whoever signs may read, unless the environment of moto says otherwise."""
    port = free_port()
    with _child(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], directory / "s3.txt", lambda: answers(port)
    ):
        relay = Relay(port)
        try:
            yield relay
        finally:
            relay.close()


def aws(port: int) -> dict[str, str]:
    """Return the environment in which the S3 server is the one that is meant."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "AKIAABCDEFGHIJKLMNOP",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextlib.contextmanager
def cloud_storage(directory: Path) -> Iterator[Relay]:
    """Run the emulator of Google Cloud Storage."""
    port = free_port()
    argv = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with _child(argv, directory / "gcs.txt", lambda: answers(port)):
        relay = Relay(port)
        try:
            yield relay
        finally:
            relay.close()


@contextlib.contextmanager
def openssh(directory: Path) -> Iterator[tuple[Relay, Path]]:
    """Run sshd with a host key and a user's key of its own. Yield it, and a directory for PATH whose `ssh` knows both."""
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    shutil.copy(directory / "user.pub", directory / "authorized")
    port = free_port()
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nAuthorizedKeysFile "
        f"{directory}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nLogL"
        "evel ERROR\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with _child(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "sshd_config")], directory / "sshd.txt", lambda: answers(port)
    ):
        relay = Relay(port)
        key = (directory / "host.pub").read_text()
        (directory / "known").write_text(f"[127.0.0.1]:{relay.port} {key}")
        (directory / "ssh_config").write_text(
            f"UserKnownHostsFile {directory}/known\nIdentityFile {directory}/user\nIdentitiesOnly yes\nIdentityAgent none\n"
        )
        bin_ = directory / "bin"
        bin_.mkdir()
        (bin_ / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/ssh_config "$@"\n')
        (bin_ / "ssh").chmod(0o755)
        try:
            yield relay, bin_
        finally:
            over_ssh.System.clear_instance_cache()  # fsspec keeps a connection for as long as the process lives
            gc.collect()
            relay.close()


def path_with(directory: Path) -> str:
    """Return a PATH that begins with a directory."""
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
