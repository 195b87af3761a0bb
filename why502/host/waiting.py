"""Limits how long a thread waits for the processes with other users' rights, whatever those users do to them.

A user can stop such a process, or slow it down so that every answer comes just before its timeout. A source of evidence that
spent all its time waiting would report nothing about root's own facts, so only part of that time may be spent waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from why502.model.errors import Expired

_here = threading.local()


def hint(seconds: float) -> None:
    """Limit the total waiting time of this thread. Without this call only each single wait is limited."""
    _here.left_s = seconds


@contextmanager
def waiting(most_s: float) -> Iterator[float]:
    """Yield the time limit of this wait, at most `most_s`, and record how long it took. Raises Expired if no time is left."""
    left_s: float = getattr(_here, "left_s", most_s)
    if left_s <= 0:
        raise Expired("the processes of other users took too long to answer")
    begun = monotonic()
    try:
        yield min(most_s, left_s)
    finally:
        if hasattr(_here, "left_s"):
            _here.left_s -= monotonic() - begun
