"""Detects which gateway a configuration text belongs to, by the lines that each product names in its `marks`."""

from __future__ import annotations

from why502 import registry

PACKAGE = "why502.gateways"
_SIZE = 256 << 10


def kind(text: str) -> str | None:
    """Return the gateway whose lines most of the text matches; None if none matches."""
    head = text[:_SIZE].replace("\r\n", "\n")
    best = max((_count(product, head), product) for product in registry.products(PACKAGE))
    return best[1] if best[0] else None


def _count(product: str, text: str) -> int:
    marks = registry.part(PACKAGE, product, "marks")
    return sum(len(mark.findall(text)) for mark in marks.MARKS) if marks is not None else 0
