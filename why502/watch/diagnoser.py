"""Diagnoser: the thread that diagnoses the machine for incidents, one diagnosis at a time."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from why502.model.errors import HostError, Why502Error
from why502.model.snapshot import Snapshot
from why502.watch.progress import Progress
from why502.watch.state.values import Diagnose, DiagnosisReady

LONGEST_S = 120.0  # the collectors and the engine end long before, each by its own limit; a longer one hangs
NAME = "diagnosis"


@dataclass(frozen=True, slots=True)
class Examined:
    """A diagnosis, and its evidence: the snapshot, and as a bundle without secrets. None if there is none."""

    ready: DiagnosisReady
    snapshot: Snapshot | None = None
    bundle: bytes | None = None


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """A diagnosis that was made, and how long it took in seconds."""

    examined: Examined
    took_s: float


class Diagnoser:
    """`examine` diagnoses the machine; `failed` makes an answer that says why that was not possible."""

    def __init__(
        self,
        examine: Callable[[Diagnose], Examined],
        failed: Callable[[Diagnose, str], DiagnosisReady],
        put: Callable[[Diagnosed], None],
        progress: Progress,
    ) -> None:
        self._examine, self._failed, self._put, self._progress = examine, failed, put, progress
        self._asked: queue.SimpleQueue[Diagnose | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask(self, asked: Diagnose) -> None:
        """Diagnose the machine for these incidents; the answer goes to `put`."""
        self._asked.put(asked)

    def stop(self, timeout_s: float) -> None:
        """End; a diagnosis under way is left to itself, and its answer dropped."""
        self._stop.set()
        self._asked.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None and not self._stop.is_set():
            began_s = time.monotonic()
            with self._progress.busy(NAME, LONGEST_S):
                examined = self._one(asked)
            gc.enable()  # looking at a machine disables it, which is right for a command and wrong for a daemon
            gc.collect()
            if not self._stop.is_set():
                self._put(Diagnosed(examined, time.monotonic() - began_s))

    def _one(self, asked: Diagnose) -> Examined:
        try:
            return self._examine(asked)
        except Why502Error as error:
            reason = error.message
        except HostError as error:
            reason = error.reason
        except Exception as error:
            reason = f"internal error: {type(error).__name__}: {error}; report it: this is a bug of why502"
        return Examined(self._failed(asked, reason))
