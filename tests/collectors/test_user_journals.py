"""Units of users' own managers: their messages in the system's journal, and the targets that they serve or served."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from why502.collectors import events
from why502.collectors.base import CollectOptions
from why502.diagnosis.engine import diagnose
from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.model.config import Peer, Route
from why502.model.errors import Expired
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 21, 28, 31, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8020)
SLICE = "/user.slice/user-1500.slice/user@1500.service"
MANAGER = Process(pid=142, ppid=1, name="systemd", argv=("/lib/systemd/systemd", "--user"), cgroup=f"{SLICE}/init.scope")
WORKER = Process(pid=154, ppid=142, name="uvicorn", cgroup=f"{SLICE}/app.slice/dentist.service")


def line(seconds: float, message: str, *, unit: str = "dentist.service", manager: str = "user@1500.service") -> str:
    """Return an entry of a unit's own process, or of its manager if the message names the unit."""
    is_managers = message.startswith(unit)
    return json.dumps(
        {
            "__REALTIME_TIMESTAMP": f"{(NOW + timedelta(seconds=seconds)).timestamp() * 1e6:.0f}",
            "MESSAGE": message,
            "_PID": "142" if is_managers else "154",
            "SYSLOG_IDENTIFIER": "systemd" if is_managers else "uvicorn",
            "_SYSTEMD_UNIT": manager,
            "USER_UNIT" if is_managers else "_SYSTEMD_USER_UNIT": unit,
        }
    )


class Machine(DirectoryHost):
    """A machine with systemd whose journal has these entries of users' managers."""

    def __init__(self, root: str, *lines: str) -> None:
        super().__init__(root)
        self.lines = lines
        self.asked: list[str] = []

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        if argv[0] != "journalctl" or not any(word.startswith("_SYSTEMD_UNIT=user@") for word in argv):
            return Finished(status=0, stdout="", stderr="")
        self.asked += argv
        return Finished(status=0, stdout="\n".join(reversed(self.lines)), stderr="")


@pytest.fixture
def root(tmp_path) -> str:  # type: ignore[no-untyped-def]
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return str(tmp_path)


def known(*processes: Process, listening: bool) -> Snapshot:
    """Return a machine whose proxy gets no connection to the target, or gets errors from it."""
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, target=APP, proxy="nginx", status=502, count=9, first=NOW, last=NOW)
    return Snapshot(
        taken_at=NOW,
        since=NOW - timedelta(minutes=15),
        until=NOW,
        addresses=("127.0.0.1",),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(154,)),) if listening else (),
        processes=processes,
        services=(),
        logs=LogSummary(tallies=(tally,), has_access=True),
    )


STARTED = line(-7200, "INFO:     Uvicorn running on http://127.0.0.1:8020 (Press CTRL+C to quit)")
FAILED = line(-9, "dentist.service: Failed to load environment files: No such file or directory")


def test_a_users_unit_that_could_not_start_is_the_one_that_listened_there(root: str) -> None:
    here = known(MANAGER, listening=False)
    other = line(-9, "backup.service: Failed to load environment files: No such file or directory", unit="backup.service")
    foreign = line(-9, "dentist.service: Failed at step EXEC spawning /x: No such file", manager="user@1600.service")
    found = events.collect(Machine(root, STARTED, other, foreign, FAILED), here, CollectOptions()).value
    assert found is not None
    assert [(one.symptom, one.unit, one.target, one.source) for one in found] == [
        (Symptom.START_FAILED, "dentist.service", APP, "journalctl --user -u dentist.service")
    ]
    diagnosis = diagnose(Snapshot(**{name: getattr(here, name) for name in here.__struct_fields__} | {"events": found}))
    assert diagnosis.findings[0].cause == "backend-startup-failure"


def test_the_errors_of_a_users_unit_that_listens_are_its_own(root: str) -> None:
    host = Machine(root, line(-5, "OSError: [Errno 28] No space left on device: '/home/a/pictures/x'"))
    found = events.collect(host, known(MANAGER, WORKER, listening=True), CollectOptions()).value
    assert found is not None
    assert [(one.target, one.pid) for one in found] == [(APP, 154)]


def test_without_a_users_manager_that_matters_no_journal_is_read(root: str) -> None:
    host = Machine(root, STARTED, FAILED)
    plain = Process(pid=154, ppid=1, name="uvicorn", cgroup="/system.slice/dentist.service")
    for here in (known(MANAGER, plain, listening=True), known(listening=False)):
        assert events.collect(host, here, CollectOptions()).value == ()
    assert host.asked == []


def test_a_journal_that_cannot_be_read_costs_only_the_users_units(root: str) -> None:
    class Slow(Machine):
        def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
            if any(word.startswith("_SYSTEMD_UNIT=user@") for word in argv):
                raise Expired("journalctl: did not finish")
            return super().run(*argv, timeout_s=timeout_s)

    found = events.collect(Slow(root), known(MANAGER, listening=False), CollectOptions())
    assert found.value == ()
    assert "journal of users' units" in [gap.source for gap in found.gaps]
