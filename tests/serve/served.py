"""A running `why502 serve` over a store with real incidents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from recorded_site import site

ROOT = Path(__file__).parents[2]
FAULTS = ("wrong-port", "backend-too-slow")
ENDED = ("keepalive-race", "php-fpm-max-children")


@contextmanager
def serve(*options: str) -> Iterator[str]:
    """Give the URL of a server that was started with these options, on a port that the kernel chose."""
    argv = [sys.executable, "-m", "why502", "serve", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


@contextmanager
def recorded(directory: Path) -> Iterator[str]:
    """Give the URL of a server with two open and two resolved incidents, and one log that it may read."""
    store = directory / "watch.db"
    site(store, datetime.now(UTC), *FAULTS, ended=ENDED)
    log = directory / "error.log"
    log.write_text(
        "2026/11/21 01:17:00 [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
        '127.0.0.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n' * 20
    )
    with serve("--store", str(store), "--log", str(log)) as url:
        yield url
