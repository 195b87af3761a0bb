"""What a scene leaves behind: nothing, however it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from why502.lab.fault import Fault
from why502.lab.faults import faults
from why502.lab.isolation import can_isolate
from why502.lab.room import enter, play
from why502.lab.stage import LabError

pytestmark = pytest.mark.real
LAB = (sys.executable, "-m", "why502", "lab")


@pytest.fixture
def fault() -> Fault:
    """A fault that needs nothing but nginx."""
    fault = faults()["backend-not-running-never"]
    if missing := fault.missing():
        pytest.skip(missing)
    return fault


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where a scene may put a directory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tmp_path.chmod(0o755)
    return tmp_path


def scene_of(process: subprocess.Popen[str]) -> set[int]:
    """Return all processes below one, by their numbers here."""
    below, todo = set(), [process.pid]
    while todo:
        pid = todo.pop()
        try:
            children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            continue
        below.update(children)
        todo += children
    return below


def alive(pids: set[int]) -> list[str]:
    """Return those that still run; a zombie does not."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(f"{pid} {state}")
    return found


def wait_until_gone(pids: set[int]) -> None:
    """Wait until none of the processes runs; fails after ten seconds."""
    end = time.monotonic() + 10
    while left := alive(pids):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def heed() -> None:
    """Let SIGINT end the program: a shell's background job, and all below it, ignores it (POSIX, 2.11),
    which is not tested here.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ends(kill: Callable[[subprocess.Popen[str]], None]) -> tuple[int, set[int]]:
    """Build a scene by the command line, end it so; return its exit status and the processes that it had."""
    command = [*LAB, "run", "backend-not-running-never", "--show-only", "--keep"]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, preexec_fn=heed) as process:  # noqa: PLW1509
        try:
            assert process.stderr
            while "Press Enter" not in (line := process.stderr.readline()):
                assert line, "the scene ended by itself"
            pids = scene_of(process)
            kill(process)
            return process.wait(20), pids
        finally:
            process.kill()


def press_enter(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


ENDINGS: dict[str, tuple[Callable[[subprocess.Popen[str]], None], int]] = {
    "enter": (press_enter, 0),
    "ctrl-c": (lambda process: process.send_signal(signal.SIGINT), 130),
    "term": (lambda process: process.send_signal(signal.SIGTERM), 143),
    "kill": (lambda process: process.kill(), -9),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_is_left(fault: Fault, tmp: Path, name: str) -> None:
    kill, status = ENDINGS[name]
    got, pids = ends(kill)
    assert got == status
    assert len(pids) >= (3 if can_isolate() else 1)
    wait_until_gone(pids)
    assert name == "kill" or not list(tmp.iterdir())


def test_a_scene_that_cannot_be_built_says_why(fault: Fault, tmp: Path) -> None:
    with pytest.raises(LabError, match="needs namespaces of its own"):
        play(faults()["host-unreachable"], "--show-only", is_isolated=False)
    assert not list(tmp.iterdir())


def test_a_scene_is_left_early(fault: Fault, tmp: Path) -> None:
    with enter(
        fault, "--show-only", "--keep", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        while "Press Enter" not in process.stderr.readline():
            assert process.poll() is None
        pids = scene_of(process)
    wait_until_gone(pids)
    assert not list(tmp.iterdir())


def test_without_namespaces(fault: Fault, tmp: Path) -> None:
    report = play(fault, "--show-only", is_isolated=False)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", report["target"])
    assert report["target"] in report["logs"]
    assert report["statuses"] == [502]
    assert not list(tmp.iterdir())


def test_the_command_lists_every_fault() -> None:
    done = subprocess.run([*LAB, "list"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(faults())


def test_an_unknown_fault_is_refused() -> None:
    done = subprocess.run([*LAB, "run", "no-such"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"why502: [^\n]*no-such[^\n]*\n[^\n]*lab list[^\n]*\n", done.stderr)
