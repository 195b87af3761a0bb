"""A raised limit is proved by the load that reached it, never by a queue that is empty because the process has just begun."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from why502.fix import repair, saturation, verify
from why502.fix.journal import Entry, Phase
from why502.fix.saturation import ENOUGH, Load, Pressure
from why502.fix.verify import Asked
from why502.host.local import LocalHost
from why502.model.target import Target
from why502.probing.request import Request

DOOR = Target(host="127.0.0.1", port=80)
BEFORE = Pressure(doors=(DOOR,), load=Load(queued=20, held=4, pids=(1,)))


def test_more_clients_than_before_and_nobody_waits() -> None:
    relief = saturation.judge(BEFORE, [Load(queued=0, held=24)] * ENOUGH)
    assert (relief.is_proved, relief.is_refuted, relief.waiting) == (True, False, "")
    assert "24 connections are held there at a time, and none wait (4 and 20 before)" in relief.message


def test_an_empty_process_proves_nothing() -> None:
    """The queue empties for a moment, and is as long as before when the clients are back."""
    filling = [Load(queued=0, held=count) for count in range(4)]
    relief = saturation.judge(BEFORE, [*filling, *[Load(queued=20, held=4)] * ENOUGH])
    assert (relief.is_proved, relief.is_refuted) == (False, True)
    assert "20 connections still wait" in relief.message
    assert "no more are held than before (4, 4 before)" in relief.message


def test_clients_that_do_not_come_back_leave_it_open() -> None:
    relief = saturation.judge(BEFORE, [Load(queued=0, held=2)] * 100)
    assert (relief.is_proved, relief.is_refuted, relief.waiting) == (False, False, "")
    assert "has not come back" in relief.message


def test_a_limit_that_is_raised_too_little_helps_in_part() -> None:
    relief = saturation.judge(BEFORE, [Load(queued=16, held=8)] * ENOUGH)
    assert (relief.is_proved, relief.is_refuted) == (False, False)
    assert relief.waiting == "16 connections still wait at 127.0.0.1:80 (20 before)"


def test_calm_samples_before_the_crowd_do_not_count() -> None:
    calm, crowd = [Load(queued=0, held=4)] * (ENOUGH - 1), [Load(queued=20, held=4)] * ENOUGH
    assert saturation.judge(BEFORE, [*calm, *crowd]).is_refuted


ACCEPTING = """\
import os, socket, sys
server = socket.socket(socket.AF_UNIX if "/" in sys.argv[1] else socket.AF_INET)
server.bind(sys.argv[1] if "/" in sys.argv[1] else ("127.0.0.1", 0))
server.listen(8)
print(server.getsockname()[1] if "/" not in sys.argv[1] else 0, flush=True)
held = [server.accept() for _ in range(2)]
print("full", flush=True)
sys.stdin.readline()
if (successor := os.fork()) == 0:
    del held
    more = [server.accept()]
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os.waitpid(successor, 0)
"""


@pytest.fixture(params=["tcp", "unix"])
def full(request: pytest.FixtureRequest) -> Iterator[tuple[Target, list[socket.socket], subprocess.Popen[str]]]:
    """A server that accepted two connections and no more, and five clients."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/app.sock" if request.param == "unix" else ""
        process = subprocess.Popen(
            [sys.executable, "-c", ACCEPTING, path or "tcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        clients: list[socket.socket] = []
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            for _ in range(5):
                client = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
                client.connect(path or ("127.0.0.1", port))
                clients.append(client)
            assert process.stdout.readline() == "full\n"
            yield Target(path=path) if path else Target(host="127.0.0.1", port=port), clients, process
        finally:
            for client in clients:
                client.close()
            process.kill()
            process.wait()
            process.stdout.close() if process.stdout else None
            process.stdin.close() if process.stdin else None


@pytest.mark.skipif(os.geteuid() != 0, reason="sees the owners of other users' sockets only as root")
def test_the_kernel_tells_those_that_wait_from_those_that_are_held(
    full: tuple[Target, list[socket.socket], subprocess.Popen[str]],
) -> None:
    target, _, process = full
    seen = saturation.sample((target,))
    assert (seen.queued, seen.held, seen.pids) == (3, 2, (process.pid,))
    pressure = saturation.measure((target,))
    assert pressure is not None
    assert (pressure.load.queued, pressure.load.held) == (3, 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="sees the owners of other users' sockets only as root")
def test_what_an_old_process_still_holds_does_not_count(
    full: tuple[Target, list[socket.socket], subprocess.Popen[str]],
) -> None:
    """As after a reload: another process accepts now, and the old one finishes its requests."""
    target, _, process = full
    old = frozenset({process.pid})
    assert saturation.sample((target,), old).held == 2  # nobody replaced it
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go on\n")
    process.stdin.flush()
    successor = int(process.stdout.readline())
    seen = saturation.sample((target,), old)
    assert (seen.queued, seen.held, successor in seen.pids) == (2, 1, True)
    assert saturation.sample((target,)).held == 3


def test_nothing_is_measured_without_a_door() -> None:
    assert saturation.measure(()) is None


@pytest.mark.parametrize(
    ("symptom", "after", "is_kept"),
    [
        ("read-timed-out", Load(queued=16, held=8), True),  # it waited in the queue: more clients are served, others still wait
        ("read-timed-out", Load(queued=20, held=4), False),
        ("read-timed-out", Load(queued=0, held=24), False),  # nobody waits any more: the backend itself does not answer
        ("503", Load(queued=16, held=8), False),  # an answer is no wait
    ],
)
def test_a_request_of_ours_that_only_waited_leaves_it_to_the_load(
    monkeypatch: pytest.MonkeyPatch, symptom: str, after: Load, *, is_kept: bool
) -> None:
    request = Request(url="http://shop.example/", target=DOOR)
    failed = Asked(request=request, is_failed=True, how=symptom, concerns=True)
    monkeypatch.setattr(verify, "again", lambda host, before: (failed,))
    monkeypatch.setattr(saturation, "sample", lambda places, old=frozenset(): after)
    monkeypatch.setattr(saturation, "EVERY_S", 0.0)
    entry = Entry(
        id="1",
        began_at=datetime.now(UTC),
        cause="worker-connections-exhausted",
        message="raise the limit",
        phase=Phase.WRITTEN,
        before=(failed,),
        pressure=BEFORE,
    )
    verdict = repair.verifier(LocalHost())(entry)
    assert (verdict.helps, bool(verdict.failing)) == (is_kept, is_kept), verdict
    assert "http://shop.example/ still fails" in verdict.message
