"""The processes around listeners and proxies: real ones, also stopped and in a PID's other directories."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nginx_real import until

from why502.collectors import processes
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

CODE = """
import os, sys, time
for _ in range(3):
    if not os.fork():
        time.sleep(600)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has three children."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout and process.stdout.readline() == b"up\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def look(**sections: object) -> dict[int, Process]:
    found = processes.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC), **sections), CollectOptions())  # type: ignore[arg-type]
    return {process.pid: process for process in found.value or ()}


def test_an_owner_its_parents_and_its_children(family: subprocess.Popen[bytes]) -> None:
    found = look(listeners=(Listener(target=Target(host="127.0.0.1", port=1), pids=(family.pid,)),))
    assert found[family.pid].children == 3
    assert found[family.pid].argv[:2] == (sys.executable, "-c")
    assert found[os.getpid()].pid == found[family.pid].ppid
    assert sum(1 for process in found.values() if process.ppid == family.pid) == 3
    assert 1 not in found


def test_a_stopped_process_is_reported_as_stopped(family: subprocess.Popen[bytes]) -> None:
    os.kill(family.pid, signal.SIGSTOP)
    until(lambda: "State:\tT" in Path(f"/proc/{family.pid}/status").read_text(), "it stops")
    assert look(proxies=(Proxy(pid=family.pid),))[family.pid].state == "T"


def test_children_are_bounded_and_counted(family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CHILDREN", 1)
    found = look(proxies=(Proxy(pid=family.pid),))
    assert sum(1 for process in found.values() if process.ppid == family.pid) == 1
    assert found[family.pid].children == 3


def test_owners_come_before_their_relatives(family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROCESSES", 1)
    assert list(look(proxies=(Proxy(pid=family.pid),))) == [family.pid]


def test_processes_that_ended_meanwhile_are_left_out() -> None:
    assert look(listeners=(Listener(target=Target(host="127.0.0.1", port=1), pids=(2**22 + 1,)),)) == {}
