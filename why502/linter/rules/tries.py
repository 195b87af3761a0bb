"""Groups whose other servers are never tried."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity


@rule(180, "no-second-try", Severity.NOTE, "all-upstreams-down")
def no_second_try(deployment: Deployment) -> Iterator[Risk]:
    """A group has several servers, but a request is tried on one only.

    With `proxy_next_upstream off` or `proxy_next_upstream_tries 1` each failure of one server is an error for the client,
    although another
    server is healthy.
    """
    seen = set()
    for route in deployment.routes:
        if route.upstream is None or len(route.peers) < 2 or route.upstream in seen:
            continue
        alive = [peer for peer in deployment.peers(route) if not peer.is_down and not peer.is_backup]
        if len(alive) < 2:
            continue
        is_off = "off" in route.next_upstream
        if is_off or route.next_upstream_tries == 1:
            seen.add(route.upstream)
            name = f"{route.directive.removesuffix('_pass')}_next_upstream"
            setting = f"{name} off" if is_off else f"{name}_tries 1"
            severity = None if is_off else Severity.WARNING
            yield risk(
                f'"{setting}": a failure of one of {len(alive)} servers reaches the client',
                route.at,
                "allow at least two tries",
                severity=severity,
            )
