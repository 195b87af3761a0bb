"""Whether each thread still makes progress: only then systemd's watchdog is fed, so that a hang restarts the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LONGEST_S = 45.0  # without a sign of progress


@dataclass(slots=True)
class Progress:
    """The last sign of progress of each thread. `clock` returns seconds that only go forward."""

    clock: Callable[[], float] = time.monotonic
    _due_s: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, name: str, within_s: float = LONGEST_S) -> None:
        """Say that a thread makes progress, and within how many seconds it will say so again."""
        with self._lock:
            self._due_s[name] = self.clock() + within_s

    def end(self, name: str) -> None:
        """Expect nothing more of a thread."""
        with self._lock:
            self._due_s.pop(name, None)

    @contextmanager
    def busy(self, name: str, within_s: float) -> Iterator[None]:
        """Expect the block to end within this many seconds."""
        self.beat(name, within_s)
        try:
            yield
        finally:
            self.end(name)

    def late(self) -> tuple[str, ...]:
        """Return the names of the threads that should have said something by now."""
        with self._lock:
            now = self.clock()
            return tuple(sorted(name for name, due_s in self._due_s.items() if due_s < now))
