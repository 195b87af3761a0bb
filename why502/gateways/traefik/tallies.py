"""Facts about logged failures from Traefik's configuration: its common access log names a router, not the service behind it.

Source: github.com/traefik/traefik/v3 pkg/middlewares/accesslog/logger_formatters.go.
"""

from __future__ import annotations

from msgspec.structs import replace

from why502.gateways.traefik.config.dynamic import ROUTER
from why502.model.logs import LogSummary
from why502.model.snapshot import Proxy

COUNTS_ONCE = False


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with the services in the place of the routers that lead to them."""
    mine = [proxy for proxy in proxies if proxy.kind == "traefik"]
    groups = {group.name for proxy in mine for group in proxy.upstreams}
    behind: dict[str, set[str]] = {}
    for route in (route for proxy in mine for route in proxy.routes):
        if router := route.setting(ROUTER):
            behind.setdefault(router.args[0], set()).add(route.upstream or "")
    only = {router: services.pop() for router, services in behind.items() if len(services) == 1}
    tallies = (
        replace(tally, group=only[tally.group])
        if tally.proxy == "traefik" and tally.group not in groups and tally.group in only
        else tally
        for tally in summary.tallies
    )
    return replace(summary, tallies=tuple(tallies))
