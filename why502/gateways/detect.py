"""Detects which proxy a configuration text belongs to: each product states the lines that only its own has, in `marks.py`."""

from __future__ import annotations

import importlib
import re
from functools import cache

from why502 import registry

_SIZE = 256 << 10


@cache
def _marks() -> dict[str, tuple[re.Pattern[str], ...]]:
    """Return the patterns of each product, by its `Proxy.kind`."""
    return {module.__name__.split(".")[-2]: module.MARKS for module in registry.parts("why502.gateways", "marks")}


def kind(text: str) -> str | None:
    """Return the product that most lines of a configuration belong to, as in `Proxy.kind`; None if no line tells."""
    head = text[:_SIZE].replace("\r\n", "\n")
    found = {name: sum(len(mark.findall(head)) for mark in marks) for name, marks in _marks().items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else None


def main_mark(product: str) -> re.Pattern[str]:
    """Return the line that only a main configuration of a product has, not a fragment. Raises AttributeError if none is known."""
    found: re.Pattern[str] = importlib.import_module(f"why502.gateways.{product}.marks").MAIN
    return found
