"""The meaning of logged failures in view of a gateway's configuration and its other lines: each product's `tallies.py`."""

from __future__ import annotations

from functools import cache
from typing import Protocol, cast

from why502 import registry
from why502.model.logs import LogSummary
from why502.model.snapshot import Proxy


class Tallies(Protocol):
    """The interface of a product's `tallies.py`."""

    COUNTS_ONCE: bool  # whether two logs may report one failure: it then runs after the others, which provide addresses

    def settled(self, summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
        """Return the summary with the facts known about this product's failures; those of others stay unchanged."""
        ...


@cache
def _products() -> tuple[Tallies, ...]:
    found = cast("list[Tallies]", list(registry.parts("why502.gateways", "tallies")))
    return tuple(sorted(found, key=lambda product: product.COUNTS_ONCE))


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary of logs with the facts about its failures from all gateways' configurations."""
    for product in _products():
        summary = product.settled(summary, proxies)
    return summary
