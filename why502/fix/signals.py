"""Signals during a change: each one ends it in an orderly way, but none interrupts a roll-back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGHUP and SIGTERM roll everything back, as Ctrl-C does. A signal that is ignored (nohup(1)) stays ignored."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with _handled((signal.SIGHUP, signal.SIGTERM), stop):
        yield


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Defer Ctrl-C, SIGHUP and SIGTERM until the block ends."""
    came: list[int] = []
    # Handlers, not a mask: child processes started in the meantime would inherit a mask.
    with _handled((signal.SIGINT, signal.SIGHUP, signal.SIGTERM), lambda number, _: came.append(number)):
        yield
    for number in dict.fromkeys(came):
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled(numbers: tuple[signal.Signals, ...], handler: _Handler) -> Iterator[None]:
    old = {number: present for number in numbers if (present := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    try:
        for number in old:
            signal.signal(number, handler)
    except ValueError:  # not the main thread
        old = {}
    try:
        yield
    finally:
        for number, present in old.items():
            signal.signal(number, present)
