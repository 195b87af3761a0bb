"""What the failures in a log are, once a gateway's configuration and its other lines are known: each product's `tallies.py`."""

from __future__ import annotations

from functools import cache
from typing import Protocol, cast

from why502 import registry
from why502.model.logs import LogSummary
from why502.model.snapshot import Proxy


class Tallies(Protocol):
    """What a product's `tallies.py` offers."""

    COUNTS_ONCE: bool  # where two logs tell of one failure: after the others, which give addresses

    def settled(self, summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
        """Return the summary with what is known of this product's failures; those of others stay as they are."""
        ...


@cache
def _products() -> tuple[Tallies, ...]:
    found = cast("list[Tallies]", list(registry.parts("why502.gateways", "tallies")))
    return tuple(sorted(found, key=lambda product: product.COUNTS_ONCE))


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary of logs with what all gateways' configurations tell of its failures."""
    for product in _products():
        summary = product.settled(summary, proxies)
    return summary
