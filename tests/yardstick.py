"""Processor time in multiples of a fixed loop that runs beside: a limit that means the same on a slow machine and
on a busy one.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable

FRESH_S = 0.5  # how long a measurement of the loop counts as of now
_TEXT = "word 127 " * 2000
LOOP_S = 0.005  # on a quiet machine of 2024
_WORD = re.compile(r"(\w+) (\d+) ")


_measured: list[float] = []  # when, and the time of the loop then


def loop_s() -> float:
    """Return the processor time of the loop in s on this machine, as busy as it is now or was a moment ago."""
    if not _measured or time.monotonic() - _measured[0] > FRESH_S:
        started = time.process_time()
        for _ in range(8):
            sum(len(found[0]) for found in _WORD.finditer(_TEXT))
        _measured[:] = (time.monotonic(), time.process_time() - started)
    return _measured[1]


def loops(call: Callable[[], object]) -> float:
    """Return how many loops take as long as a call; the loop is timed before and after it, and its longer time counts.

    The collector of cycles rests meanwhile: in a process with thousands of tests it would look through all of their objects.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        before = loop_s()
        started = time.process_time()
        call()
        took = time.process_time() - started
        return took / max(before, loop_s())
    finally:
        if was_enabled:
            gc.enable()


def slowness(*, exactly: bool = False) -> float:
    """Return how many times slower than a quiet machine of 2024 this one is; 1 at least. `exactly`: now, not a moment ago."""
    if exactly:
        _measured.clear()
    return max(1.0, loop_s() / LOOP_S)
