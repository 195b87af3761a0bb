"""Runs one read that may fail without affecting the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from why502.model.errors import HostError

Item = TypeVar("Item")
T = TypeVar("T")


def attempt(look: Callable[[], T]) -> T | None:
    """Return the result of `look`; None if the machine refused it."""
    try:
        return look()
    except HostError:
        return None


def each(items: Iterable[Item], look: Callable[[Item], Iterable[T]], miss: Callable[[Item, str, str], None]) -> Iterator[T]:
    """Yield the result of `look` for each item. An item that fails, even by a bug of ours, costs only its own result.

    `miss` receives the item, the reason and the hint.
    """
    for item in items:
        try:
            found = list(look(item))
        except HostError as error:
            miss(item, error.reason, error.hint)
        except Exception as error:
            miss(item, f"internal error: {type(error).__name__}: {error}", "report it: this is a bug in why502")
        else:
            yield from found
