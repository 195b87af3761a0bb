"""An application that ends again and again is found whatever pm2 calls its state at that moment."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from why502.host.local import LocalHost
from why502.model.target import Target
from why502.supervisors.base import Look
from why502.supervisors.pm2 import manager

SILENT = Target(host="127.0.0.1", port=1)
APPLICATION = 4242  # its pid, as the daemon reports it


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[int]:
    """Yield the pid of a process with the environment of a daemon."""
    with subprocess.Popen(["sleep", "60"], env={"PM2_HOME": str(tmp_path)}) as process:
        yield process.pid
        process.kill()


def found(daemon: int, monkeypatch: pytest.MonkeyPatch, *, age_s: float, unrelated: frozenset[int], **env: Any) -> set[str]:
    """Return the applications that are found where the daemon reports one with these data."""
    now = datetime.now(UTC)
    data = {"pm_uptime": int((now - timedelta(seconds=age_s)).timestamp() * 1000), "env": {}, **env}
    monkeypatch.setattr(manager, "monitored", lambda *_: [{"name": "shop", "pid": APPLICATION, "pm2_env": data}])
    look = Look(
        owners={SILENT: ()},
        processes={},
        parents={},
        names={daemon: "PM2 v6.0.14: Go"},
        pools=(),
        since=now - timedelta(minutes=15),
        until=now,
        unrelated=unrelated,
    )
    return {service.name for service in manager.services(LocalHost(), look)}


@pytest.mark.parametrize(
    ("age_s", "unrelated", "env", "expected"),
    [
        (2.0, frozenset[int](), {"status": "online", "restart_time": 12, "exit_code": 1}, {"shop"}),
        (2.0, frozenset[int](), {"status": "launching", "restart_time": 12, "exit_code": 1}, {"shop"}),
        (2.0, frozenset[int](), {"status": "online", "restart_time": 12, "exit_code": 0}, set[str]()),
        (2.0, frozenset[int](), {"status": "online", "restart_time": 1, "exit_code": 1}, set[str]()),
        (900.0, frozenset[int](), {"status": "online", "restart_time": 12, "exit_code": 1}, set[str]()),
        (2.0, frozenset({APPLICATION}), {"status": "online", "restart_time": 12, "exit_code": 1}, set[str]()),
    ],
    ids=["just started again", "about to start", "restarted by order", "once", "stable since", "it listens elsewhere"],
)
def test_which_application_ends_again_and_again(
    daemon: int,
    monkeypatch: pytest.MonkeyPatch,
    age_s: float,
    unrelated: frozenset[int],
    env: dict[str, Any],
    expected: set[str],
) -> None:
    assert found(daemon, monkeypatch, age_s=age_s, unrelated=unrelated, **env) == expected
