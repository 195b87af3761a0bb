"""A look that may fail without any harm to the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from why502.model.errors import HostError

T = TypeVar("T")


def attempt(look: Callable[[], T]) -> T | None:
    """Return what `look` returns; None where the machine refused it."""
    try:
        return look()
    except HostError:
        return None
