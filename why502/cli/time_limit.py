"""A limit on the CPU time of a command that reads untrusted files.

The content of a bundle is bounded (model/bounds.py), and the cost of a diagnosis should be proportional to it. This limit catches
what both miss. It counts CPU time, so that a busy machine does not end a command.
"""

from __future__ import annotations

import signal
from typing import NoReturn

LIMIT_S = 4.5
_AGAIN_S = 0.5


class OutOfTimeError(BaseException):
    """The time limit is exceeded. Not an Exception, so that handlers for single bad items do not catch it."""


def limit(seconds: float = LIMIT_S) -> None:
    """Raise OutOfTimeError after this much more CPU time, in the main thread; other threads are not limited."""
    try:
        signal.signal(signal.SIGPROF, _end)
    except ValueError:  # not the main thread
        return
    signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN_S)


def unlimit() -> None:
    """Remove the limit."""
    signal.setitimer(signal.ITIMER_PROF, 0)


def _end(_signal: int, _frame: object) -> NoReturn:
    raise OutOfTimeError
