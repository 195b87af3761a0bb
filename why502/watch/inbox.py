"""The queue between the threads of the daemon and its main thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 1000  # entries; whoever adds more waits, so that reading is never far ahead of keeping


class Inbox(Generic[T]):
    """Entries in the order in which they came. `put` may be called from any thread, `take` from one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: deque[T] = deque()
        self._changed = threading.Condition()
        self._is_open = False

    def put(self, entry: T) -> None:
        """Add an entry; wait while there are too many."""
        with self._changed:
            while len(self._entries) >= self._most and not self._is_open:
                self._changed.wait()
            self._entries.append(entry)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """Return the next entry; None if none comes within that time."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._entries:
                left_s = until - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break
            if not self._entries:
                return None
            entry = self._entries.popleft()
            self._changed.notify_all()
            return entry

    def open(self) -> None:
        """Have nobody wait any more: the threads are about to end, and what they still have is taken at once."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return the number of entries."""
        with self._changed:
            return len(self._entries)
