"""The chain of addresses in X-Forwarded-For."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity


@rule(178, "forwarded-chain-lost", Severity.NOTE, "wrong-host-header")
def chain_lost(deployment: Deployment) -> Iterator[Risk]:
    """A proxy in front of this one adds to X-Forwarded-For, and this one replaces it.

    The backend sees one address instead of the chain. `set_real_ip_from` or `listen … proxy_protocol` shows that a proxy
    is in front.
    """
    seen = set()
    for route in deployment.routes_with("proxy_set_header"):
        is_behind = "set_real_ip_from" in route.settings or any("proxy_protocol" in listen for listen in route.listens)
        value = next((value for name, value in route.headers if name.lower() == "x-forwarded-for"), "")
        at = next(
            (x.at for x in route.settings.get("proxy_set_header", ()) if x.args and x.args[0].lower() == "x-forwarded-for"), None
        )
        if is_behind and value in ("$remote_addr", "${remote_addr}") and at not in seen:
            seen.add(at)
            yield risk("what the proxy in front wrote into X-Forwarded-For is lost", at, "write $proxy_add_x_forwarded_for")
