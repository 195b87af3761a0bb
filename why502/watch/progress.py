"""Whether each thread still makes progress, and whether a restart would help where one does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_S = 45.0  # without a sign of progress


class Beat(Protocol):
    """Takes the sign of a thread that it makes progress: `Progress.beat`."""

    def __call__(self, name: str, /, within_s: float = LONGEST_S, *, is_curable: bool = True) -> None:
        """Say so, and within how many seconds it will be said again."""


def ignore_beat(name: str, /, within_s: float = LONGEST_S, *, is_curable: bool = True) -> None:
    """Take a sign of progress that nobody waits for."""


@dataclass(slots=True)
class Progress:
    """The last sign of progress of each thread. `clock` returns seconds that only go forward."""

    clock: Callable[[], float] = time.monotonic
    _due_s: dict[str, float] = field(default_factory=dict)
    _incurable: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, name: str, /, within_s: float = LONGEST_S, *, is_curable: bool = True) -> None:
        """Say that a thread makes progress, and within how many seconds it will say so again.

        `is_curable` False: it reads files of others, which may be on a file system that hangs. A restart would hang there too.
        """
        with self._lock:
            self._due_s[name] = self.clock() + within_s
            (self._incurable.discard if is_curable else self._incurable.add)(name)

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

    def curable(self) -> tuple[str, ...]:
        """Return those of them that a restart would help: systemd's watchdog is fed only while there are none."""
        return tuple(name for name in self.late() if name not in self._incurable)
