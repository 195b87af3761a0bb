"""Facts about logged failures from Varnish's configuration."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

COUNTS_ONCE = False


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with the addresses of backends that the log identifies only by name."""
    known = _members(proxies)
    return replace(
        summary, tallies=tuple(_named(tally, known) if tally.proxy == "varnish" else tally for tally in summary.tallies)
    )


def _members(proxies: Iterable[Proxy]) -> dict[str, Target]:
    """Return the address of each backend by name, without directors."""
    return {
        group.name: group.peers[0].target
        for proxy in proxies
        for group in proxy.upstreams
        if proxy.kind == "varnish" and len(group.peers) == 1 and group.peers[0].target is not None
    }


def _named(tally: Tally, known: dict[str, Target]) -> Tally:
    """Return a tally with its backend's address. For a sick backend, the address is not what failed."""
    is_named = tally.target is None and tally.symptom is not Symptom.NO_LIVE_UPSTREAMS
    return replace(tally, target=known[tally.group]) if is_named and tally.group in known else tally
