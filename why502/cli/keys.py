"""Single keys of a terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import TextIO


@contextlib.contextmanager
def keys(stream: TextIO) -> Iterator[Callable[[float], str]]:
    """Yield a function that waits for a key for at most this many seconds and returns it. The terminal is restored afterwards."""
    if not stream.isatty():

        def waited(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield waited
        return
    number = stream.fileno()
    before = termios.tcgetattr(number)

    def pressed(seconds: float) -> str:
        return os.read(number, 1).decode("ascii", "replace") if select.select([number], [], [], seconds)[0] else ""

    try:
        tty.setcbreak(number)
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
