"""Busy, slow, hung and computing backends differ when seen from outside; real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from why502.collectors import kernel
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import Peer, Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Kernel, Listener, Snapshot
from why502.model.target import Target

CLIENTS = 6
LISTEN = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); held = []\n"
TAKE = "for _ in range({}): held.append(s.accept())\n"
WAIT = "sys.stdin.read()"
COMPUTE = "import os, signal; signal.alarm(60)\nwhile os.getppid() > 1: pass"


def look(code: str, held: int) -> Kernel:
    """Return the measurements of a backend that holds `held` of six connections."""
    with ExitStack() as stack:
        backend = subprocess.Popen([sys.executable, "-c", LISTEN + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(backend.communicate)
        stack.callback(backend.kill)
        target = Target(host="127.0.0.1", port=int(backend.stdout.readline()))
        proxy = Proxy(pid=os.getpid(), routes=(Route(peers=(Peer(name=str(target), target=target),)),))
        listener = Listener(target=target, pids=(backend.pid,))
        snapshot = Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,), listeners=(listener,))
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection((target.host, target.port)))
        until = time.monotonic() + 20
        while True:
            seen = kernel.collect(LocalHost(), snapshot, CollectOptions()).value
            assert seen.accepted[str(target)] + seen.unaccepted[str(target)] == CLIENTS
            if seen.accepted[str(target)] == held or time.monotonic() > until:
                return seen


@pytest.mark.real
@pytest.mark.parametrize(
    ("code", "held"),
    [(TAKE.format(2) + WAIT, 2), (TAKE.format(CLIENTS) + WAIT, CLIENTS), (WAIT, 0)],
    ids=["workers-busy", "too-slow", "hung"],
)
def test_backends_that_wait(code, held):
    seen = look(code, held)
    assert list(seen.accepted.values()) == [held]
    assert next(iter(seen.backend_cpu.values())) <= 0.2


@pytest.mark.real
def test_a_backend_that_computes():
    # On a busy machine it may get no CPU time during one short measurement.
    looks = (look(TAKE.format(1) + COMPUTE, 1) for _ in range(20))
    assert any(next(iter(seen.backend_cpu.values())) > 0.2 for seen in looks)
