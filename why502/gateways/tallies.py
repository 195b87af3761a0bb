"""The meaning of logged failures in view of a gateway's configuration and its other lines: each product's `tallies.py`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Protocol, cast

from msgspec.structs import replace

from why502 import registry
from why502.model.logs import LogSummary, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target


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


def members_of(proxies: Iterable[Proxy]) -> dict[str, Target]:
    """Return the addresses of the servers that a gateway's log identifies by name: those of products with `members_of`."""
    every = tuple(proxies)
    return {
        name: target
        for product in _products()
        if hasattr(product, "members_of")
        for name, target in product.members_of(every).items()
    }


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary of logs with the facts about its failures from all gateways' configurations."""
    for product in _products():
        summary = product.settled(summary, proxies)
    return summary


def without(tally: Tally, taken: int) -> Tally:
    """Return a tally with fewer lines; no request may have a larger count."""
    left = tally.count - taken
    return replace(tally, count=left, requests=tuple((request, min(count, left)) for request, count in tally.requests))
