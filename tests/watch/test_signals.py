"""A signal is heeded wherever it comes, also in the middle of heeding the one before."""

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from why502.cli.env import Env
from why502.watch import daemon as module
from why502.watch.daemon import Daemon, Options


class Interrupted:
    """Calls a handler before every line that one thread runs, as a signal could, but never inside the handler itself."""

    def __init__(self, handler: Any) -> None:
        self._handler, self._is_inside, self.count = handler, False, 0

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line" and not self._is_inside:
            self._is_inside, self.count = True, self.count + 1
            self._handler()
            self._is_inside = False
        return self.trace


@pytest.fixture
def daemon(monkeypatch):
    env = Env()
    made = Daemon(Options(), env.machine(), env.now, None)
    monkeypatch.setattr(made, "_commit", lambda: None)
    monkeypatch.setattr(module, "WAKE_S", 0.01)
    return made


def runs(work: Any, interrupted: Interrupted) -> None:
    """Run it in a thread whose every line is interrupted. Fails where the thread never comes back."""

    def body() -> None:
        sys.settrace(interrupted.trace)
        try:
            work()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for a lock that it holds itself"
    assert interrupted.count > 10


def test_reloads_may_come_while_one_is_taken(daemon, monkeypatch):
    done: list[None] = []

    def reload() -> None:
        done.append(None)
        if len(done) == 3:
            daemon.end()

    monkeypatch.setattr(daemon, "_reload", reload)
    runs(daemon.run, Interrupted(daemon.reload))
    assert len(done) == 3


def test_an_end_may_come_while_it_is_taken(daemon):
    daemon.reload()
    daemon._reload = lambda: None
    runs(lambda: (daemon.end(), daemon.run()), Interrupted(daemon.end))
    assert daemon.is_ending
