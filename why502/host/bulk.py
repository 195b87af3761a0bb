"""Runs thousands of short reads in few hand-overs to another thread, because a hand-over for each would cost more
than the read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from why502.host.bounded import bounded
from why502.model.errors import Expired

T = TypeVar("T")

_PART = 512  # looks in one hand-over
_HURRIED_S = 0.1  # for one part, once a look has hung


def each(items: Sequence[str], look: Callable[[str], T], patience_s: float) -> tuple[T | None, ...]:
    """Return what `look` returns of each item, in order; None where it raises OSError or ValueError, or hangs.

    A look that hangs costs its own answer and `patience_s` once; the rest of its part is looked at again, in a hurry.
    """
    found: list[T | None] = [None] * len(items)
    start = 0
    while start < len(items):
        part = items[start : start + _PART]
        done: list[T | None] = []
        is_left: list[bool] = []  # has an item once nobody waits any more
        try:
            bounded(patience_s, _look, part, look, done, is_left)
        except Expired:
            is_left.append(True)
            patience_s = _HURRIED_S
        answers = done[:]
        found[start : start + len(answers)] = answers
        start += len(answers) if len(answers) == len(part) else len(answers) + 1  # past the one that hangs
    return tuple(found)


def _look(part: Sequence[str], look: Callable[[str], T], done: list[T | None], is_left: list[bool]) -> None:
    for item in part:
        try:
            answer = look(item)
        except (OSError, ValueError):
            done.append(None)
        else:
            done.append(answer)
        if is_left:
            return
