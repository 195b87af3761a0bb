"""Failures that are in both of lighttpd's logs, counted once: its error log has no request by which to find the access line."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from why502.gateways.tallies import without
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy

COUNTS_ONCE = True


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary without the access lines of failures that its error log explains, where no other gateway has lines."""
    if {proxy.kind for proxy in proxies} != {"lighttpd"}:
        return summary
    explained = Counter[int | None]()
    for tally in summary.tallies:
        if tally.proxy == "lighttpd" and tally.is_failure and tally.symptom is not Symptom.GATEWAY_STATUS:
            explained[tally.status] += tally.count
    left: list[Tally] = []
    for tally in summary.tallies:
        taken = min(tally.count, explained[tally.status]) if tally.symptom is Symptom.GATEWAY_STATUS else 0
        explained[tally.status] -= taken
        if tally.count > taken:
            left.append(tally if not taken else without(tally, taken))
    return replace(summary, tallies=tuple(left))
