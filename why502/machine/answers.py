"""Partial results of a collector thread: each result replaces the previous one."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Answers(Generic[T]):
    """A slot filled by one thread and read by another until the deadline."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[T] | None] = SimpleQueue()

    def put(self, answer: T) -> None:
        """Store everything found so far."""
        self._queue.put((answer,))

    def end(self) -> None:
        """Mark the last result as complete."""
        self._queue.put(None)

    def last(self, deadline: float) -> tuple[T | None, bool]:
        """Return the last result before the deadline (monotonic; None if there is none), and whether it is complete."""
        found: T | None = None
        while True:
            try:
                after = self._queue.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                return found, False
            if after is None:
                return found, True
            found = after[0]
