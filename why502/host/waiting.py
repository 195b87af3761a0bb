"""Limits how long a thread waits for the processes with other users' rights, whatever those users do to them.

Each of them can be stopped, or slowed down so that every answer comes just in time, by the user whose rights it has. A source of
evidence that spends its time so would tell nothing of root's own facts, so only a part of that time is given away.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from why502.model.errors import Expired

_here = threading.local()


def hint(seconds: float) -> None:
    """Let this thread wait so long, all waits together. A thread that never calls this has no limit but that of each wait."""
    _here.left_s = seconds


@contextmanager
def waiting(most_s: float) -> Iterator[float]:
    """Yield how long this wait may take, at most `most_s`, and count how long it took. Raises Expired where no time is left."""
    left_s: float = getattr(_here, "left_s", most_s)
    if left_s <= 0:
        raise Expired("the processes of other users took too long to answer")
    begun = monotonic()
    try:
        yield min(most_s, left_s)
    finally:
        if hasattr(_here, "left_s"):
            _here.left_s -= monotonic() - begun
