"""How many requests waitress serves at once. It accepts up to 100 connections, whose requests wait for a thread.

Source: waitress/adjustments.py (threads, 4 by default; connection_limit).
"""

from __future__ import annotations

from why502.backends.options import number, option, runs

_DEFAULT = 4


def slots(argv: tuple[str, ...]) -> int | None:
    """Return the number of its threads; None for the command of another program."""
    return number(option(argv, "--threads") or str(_DEFAULT)) if runs(argv, ("waitress-serve",)) else None
