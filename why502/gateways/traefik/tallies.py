"""Facts about logged failures from Traefik's configuration: its common access log names a router, not the service behind it.

Source: github.com/traefik/traefik/v3 pkg/middlewares/accesslog/logger_formatters.go.
"""

from __future__ import annotations

from msgspec.structs import replace

from why502.gateways.traefik.config.dynamic import ROUTER
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy

COUNTS_ONCE = False


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with the services in the place of the routers that lead to them. A service without any server is told
    from one whose servers are all down: the log has the same words for both.
    """
    mine = [proxy for proxy in proxies if proxy.kind == "traefik"]
    groups = {group.name for proxy in mine for group in proxy.upstreams}
    behind: dict[str, set[str]] = {}
    for route in (route for proxy in mine for route in proxy.routes):
        if router := route.setting(ROUTER):
            behind.setdefault(router.args[0], set()).add(route.upstream or "")
    only = {router: services.pop() for router, services in behind.items() if len(services) == 1}
    empty = {group.name for proxy in mine for group in proxy.upstreams if not group.peers}

    def resolved(tally: Tally) -> Tally:
        if tally.proxy != "traefik":
            return tally
        group = tally.group if tally.group in groups else only.get(tally.group, tally.group)
        is_empty = tally.symptom is Symptom.NO_LIVE_UPSTREAMS and group in empty
        return replace(
            tally, group=group, symptom=Symptom.NO_MEMBERS if is_empty else tally.symptom, named="" if is_empty else tally.named
        )

    return replace(summary, tallies=tuple(map(resolved, summary.tallies)))
