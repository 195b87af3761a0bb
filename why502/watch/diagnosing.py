"""Makes the diagnoses that the state asks for: one at a time, each in a process of its own, which is ended after 30 seconds."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import why502
from why502.model.errors import Why502Error
from why502.watch.diagnosis_process import Looked, Order, order_of, result_of
from why502.watch.model import Change
from why502.watch.state.values import Diagnose, DiagnosisReady

LIMIT_S = 30.0
MOST_OUTPUT_BYTES = 64 << 20
_ROOT = str(Path(why502.__file__).parent.parent)
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from why502.watch.diagnosis_process import main; main()"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order. `changes` are those that the machine shows now; `bundle` is empty if there is none."""

    ready: DiagnosisReady
    bundle: bytes = b""
    changes: tuple[Change, ...] = ()


class Overdue(Exception):
    """The diagnosis took too long, or was ended."""


@dataclass(slots=True)
class Process:
    """Runs the diagnosis as a child process, which can be ended from another thread."""

    limit_s: float = LIMIT_S
    _running: subprocess.Popen[bytes] | None = None
    _is_ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, order: Order) -> Looked:
        """Return the result. Raises Overdue, Why502Error."""
        with self._lock:
            if self._is_ended:
                raise Overdue("the daemon is stopping")
            argv = [sys.executable, "-I", "-c", _PROGRAM, _ROOT]
            process = self._running = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
            )
        try:
            output, _ = process.communicate(order_of(order), timeout=self.limit_s)
        except subprocess.TimeoutExpired as error:
            raise Overdue(f"the diagnosis took longer than {self.limit_s:g} s") from error
        finally:
            with self._lock:
                _end(process)
                self._running = None
        if process.returncode:
            raise Overdue(f"the diagnosis ended with status {process.returncode}")
        return result_of(output[:MOST_OUTPUT_BYTES])

    def end(self) -> None:
        """End what runs, and start nothing more."""
        with self._lock:
            self._is_ended = True
            if self._running is not None:
                _end(self._running)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its session, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Diagnoser:
    """The thread that makes diagnoses. `put` gets each answer, also that there is none."""

    def __init__(
        self,
        put: Callable[[Answer], None],
        now: Callable[[], datetime],
        order: Order | None = None,
        run: Callable[[Order], Looked] | None = None,
    ) -> None:
        """Make it. `run` replaces the child process."""
        self._put, self._now, self._order = put, now, order or Order()
        self._process = Process()
        self._run_order = run or self._process.run
        self._asked: queue.SimpleQueue[Diagnose | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="diagnoser", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, asked: Diagnose) -> None:
        """Have a diagnosis made. The state asks for the next one only after the answer."""
        self._asked.put(asked)

    def stop(self, timeout_s: float) -> None:
        """End a diagnosis that runs, and the thread."""
        self._asked.put(None)
        self._process.end()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._put(self._answer(asked))

    def _answer(self, asked: Diagnose) -> Answer:
        try:
            seen = self._run_order(self._order)
        except (Overdue, Why502Error, OSError) as error:
            seen = Looked(reason=str(error))
        ready = DiagnosisReady(
            ids=asked.ids,
            occasion=asked.occasion,
            at=self._now(),
            diagnosis=seen.diagnosis,
            reason=seen.reason,
            aliases=seen.configured.aliases,
            roots=seen.roots,
            own_network=seen.own_network,
            proposals=seen.proposals,
            scopes=seen.configured.scopes,
        )
        return Answer(ready, seen.bundle, seen.changes)
