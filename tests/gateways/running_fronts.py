"""Real gateways of wheels, started for a test on ports that the kernel chose."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors import admin as source
from why502.collectors.base import CollectOptions
from why502.collectors.other_running import one
from why502.host.local import LocalHost
from why502.machine.process_table import ProcessTable
from why502.machine.suppliers import Allowance, of_process
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

PATIENCE_S = 20.0


def program(name: str) -> str:
    path = shutil.which(name, path=f"{sys.prefix}/bin:{os.environ.get('PATH', '')}")
    if path is None:
        pytest.fail(f"needs {name}: it is one of the development dependencies")
    return path


def asked(port: int, path: str = "/", host: str = "shop.example", method: str = "GET", body: str = "") -> tuple[int, str]:
    """Return status and body of an answer; status 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body or None, {"Host": host, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


@contextmanager
def serving(directory: Path, is_ready: Callable[[], bool], *argv: str, **environment: str) -> Iterator[int]:
    """Run a gateway until the block ends, and yield its process id once it is ready."""
    own = {"HOME": str(directory), "PATH": os.environ.get("PATH", ""), **environment}
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, env=own, cwd=directory)
    try:
        end = time.monotonic() + PATIENCE_S
        while not is_ready():
            assert process.poll() is None and time.monotonic() < end, (directory / "output.log").read_text()[-2000:]
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def found(pid: int, name: str) -> tuple[Proxy, list[Gap]]:
    """Return the gateway that a process is, with its own view, and what could not be looked at."""
    host, gaps = LocalHost(), list[Gap]()
    table = ProcessTable(host)
    proxy = one(host, table, pid, name, of_process(host, pid), Allowance(), gaps)
    assert proxy is not None, gaps
    seen = source.collect(host, Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,)), CollectOptions())
    return (seen.value or (proxy,))[0], [*gaps, *seen.gaps]
