"""Abandoned connections, closed or not closed by a real listener: this process."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from why502.collectors import progress
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.snapshot import Kernel, Listener, Snapshot
from why502.model.target import Target

pytestmark = pytest.mark.real


@pytest.mark.parametrize("gets_on", [True, False])
def test_a_backend_that_makes_progress_closes_abandoned_connections(gets_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 4.0 if gets_on else 0.3)
    monkeypatch.setattr(progress, "_EVERY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        held = [server.accept()[0] for _ in clients]
        for client in clients:
            client.close()
        for connection in held:
            assert connection.recv(1) == b""  # now each is in CLOSE_WAIT
        known = Snapshot(
            taken_at=datetime.now(UTC),
            asked=(target,),
            listeners=(Listener(target=target, pids=(os.getpid(),)),),
            kernel=Kernel(abandoned={str(target): 3}, ports_first=7),
        )
        closer = threading.Timer(0.3, held[0].close)
        if gets_on:
            closer.start()
        began = time.monotonic()
        found = progress.collect(LocalHost(), known, CollectOptions()).value
        closer.cancel()
        for connection in held:
            connection.close()
    assert found is not None
    assert (found.worked_off, found.ports_first) == ({str(target): 1 if gets_on else 0}, 7)
    assert time.monotonic() - began < 3


def test_no_wait_without_abandoned_connections() -> None:
    known = Snapshot(taken_at=datetime.now(UTC), kernel=Kernel())
    assert progress.collect(LocalHost(), known, CollectOptions()).value is None
