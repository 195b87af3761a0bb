"""Runs thousands of short reads in few batches on another thread, because handing over each one would cost more than the read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from why502.host.bounded import bounded
from why502.model.errors import Expired

T = TypeVar("T")

_PART = 512  # reads per batch
_HURRIED_S = 0.1  # per batch, after a read has hung


def each(items: Sequence[str], look: Callable[[str], T], patience_s: float) -> tuple[T | None, ...]:
    """Return the results of `look` for each item, in order; None if it raises OSError or ValueError, or hangs.

    A call that hangs loses its own result and costs `patience_s` once. The rest of its batch is tried again with a shorter
    limit.
    """
    found: list[T | None] = [None] * len(items)
    start = 0
    while start < len(items):
        part = items[start : start + _PART]
        done: list[T | None] = []
        is_left: list[bool] = []  # has an item once the caller has given up
        try:
            bounded(patience_s, _look, part, look, done, is_left)
        except Expired:
            is_left.append(True)
            patience_s = _HURRIED_S
        answers = done[:]
        found[start : start + len(answers)] = answers
        start += len(answers) if len(answers) == len(part) else len(answers) + 1  # skip the one that hangs
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
