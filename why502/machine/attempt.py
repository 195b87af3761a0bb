"""Runs one read that may fail without affecting the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from why502.model.errors import HostError

Item = TypeVar("Item")
T = TypeVar("T")


def attempt(look: Callable[[], T]) -> T | None:
    """Return what `look` returns; None where the machine refused it."""
    try:
        return look()
    except HostError:
        return None


def each(items: Iterable[Item], look: Callable[[Item], Iterable[T]], miss: Callable[[Item, str, str], None]) -> Iterator[T]:
    """Yield what a look at each item finds. One that cannot be looked at, or that we stumble over, costs itself alone.

    `miss` receives the item, the reason and the hint.
    """
    for item in items:
        try:
            found = list(look(item))
        except HostError as error:
            miss(item, error.reason, error.hint)
        except Exception as error:
            miss(item, f"internal error: {type(error).__name__}: {error}", "report it: this is a bug of why502")
        else:
            yield from found
