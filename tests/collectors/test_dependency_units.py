"""The units of databases, caches and queues that listen somewhere else since they were restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.collectors.dependency_units import with_units
from why502.host.base import Finished, Stat
from why502.host.local import LocalHost
from why502.model.process import Process
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8091)
SOCKET = Target(path="/run/redis/redis.sock")


class Systemd(LocalHost):
    """A machine with systemd, where no unit has ended."""

    def stat(self, path: str) -> Stat:
        return super().stat("/")

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        return Finished(status=0, stdout="", stderr="")


@pytest.mark.parametrize(
    ("unit", "started_s", "expected"),
    [("redis-server.service", 5, [SOCKET]), ("redis-server.service", 5000, []), ("shop.service", 5, [])],
    ids=["restarted", "long ago", "another program"],
)
def test_a_cache_that_only_has_a_unix_socket_since_its_restart(unit: str, started_s: float, expected: list[Target]) -> None:
    here = Snapshot(
        taken_at=NOW,
        since=NOW - timedelta(minutes=15),
        addresses=(),
        listeners=(Listener(target=SOCKET, pids=(70,)),),
        processes=(Process(pid=70, name="redis-server", unit=unit, started_at=NOW - timedelta(seconds=started_s)),),
    )
    found = list(with_units(Systemd(), here, [], (APP,)))
    assert [one.elsewhere for one in found if one.peer.port == 6379] == expected
