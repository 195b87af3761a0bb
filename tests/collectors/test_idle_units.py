"""Stopped units of the same application, by the answers of a real systemctl's format."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from why502.collectors.idle_units import idle_units
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.model.config import Peer, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8000)
SITE = {
    "Id": "galley.service",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "User": "galley",
    "WorkingDirectory": "/srv/galley",
    "ExecStart": "{ path=/opt/venv/bin/uvicorn ; argv[]=/opt/venv/bin/uvicorn --port 8000 app:app ; ignore_errors=no }",
}
TASKS = {
    "Id": "galley-tasks.service",
    "ActiveState": "inactive",
    "LoadState": "loaded",
    "Type": "simple",
    "UnitFileState": "enabled",
    "User": "galley",
    "WorkingDirectory": "/srv/galley",
    "ExecStart": "{ path=/opt/venv/bin/celery ; argv[]=/opt/venv/bin/celery -A tasks:jobs worker ; ignore_errors=no }",
    "InactiveEnterTimestampMonotonic": "61000000",
}
MASKED = {"Id": "galley-tasks.service", "ActiveState": "inactive", "LoadState": "masked", "UnitFileState": "masked"}
SECOND = "{ path=/opt/venv/bin/uvicorn ; argv[]=/opt/venv/bin/uvicorn --port 8001 app:app ; ignore_errors=no }"


class Systemd(LocalHost):
    """A machine with an application's unit and another one, whose last journal line was written by a user."""

    def __init__(self, other: dict[str, str], uid: int) -> None:
        super().__init__()
        self.other, self.uid = other, uid

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        if argv[0] == "journalctl":
            return Finished(status=0, stdout=json.dumps({"_UID": str(self.uid)}) + "\n", stderr="")
        assert argv[:2] == ("systemctl", "show")
        blocks = ("\n".join(f"{name}={value}" for name, value in unit.items()) for unit in (SITE, self.other))
        return Finished(status=0, stdout="\n\n".join(blocks) + "\n", stderr="")


def found(other: dict[str, str], *, user: str = "galley", uid: int = 996, was_stopped: bool = False) -> list[tuple[str, str]]:
    """Return the state of the other unit and what it shares, if it is linked to the application."""
    here = Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name=str(APP), target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(50,)),),
        processes=(Process(pid=50, ppid=1, user=user, uid=996, unit="galley.service", cwd="/srv/galley"),),
    )
    stops = {other["Id"]: NOW} if was_stopped else {}
    return [(one.unit_state, one.shares) for one in idle_units(Systemd(other, uid), here, (APP,), stops)]


BY_USER = "has the same user (galley)"
BY_DIRECTORY = "belongs to the same directory (/srv/galley)"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [("inactive", BY_USER)]),
        ({"ActiveState": "failed", "UnitFileState": "static"}, [("failed", BY_USER)]),
        ({"User": "other"}, [("inactive", BY_DIRECTORY)]),
        ({"User": "other", "WorkingDirectory": "/srv/other"}, []),
        ({"ActiveState": "active"}, []),
        ({"Type": "oneshot"}, []),
        ({"TriggeredBy": "galley-tasks.timer"}, []),
        ({"UnitFileState": "disabled"}, []),
        ({"ExecStart": SECOND}, []),
    ],
    ids=["user", "failed", "directory", "another's", "runs", "ends itself", "timer", "disabled", "another instance"],
)
def test_units_of_the_same_application(more: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert found({**TASKS, **more}) == expected


def test_a_disabled_unit_that_was_stopped_in_the_window_counts() -> None:
    assert found({**TASKS, "UnitFileState": "disabled"}, was_stopped=True) == [("inactive", BY_USER)]


def test_a_user_of_many_applications_links_nothing() -> None:
    assert found({**TASKS, "User": "www-data", "WorkingDirectory": "/srv/else"}, user="www-data") == []


@pytest.mark.parametrize(("uid", "expected"), [(996, [("masked", BY_USER)]), (33, [])])
def test_a_masked_unit_without_a_file_is_known_by_its_journal(uid: int, expected: list[tuple[str, str]]) -> None:
    assert found(MASKED, uid=uid) == expected
