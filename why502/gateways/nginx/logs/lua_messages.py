"""Lua messages in the nginx log of gateways built on OpenResty: balancers of Kong and APISIX, resty.dns, resty.healthcheck.

Source: kong/runloop/handler.lua, kong/runloop/balancer, kong/resty/dns/client.lua; apisix/balancer.lua, apisix/upstream.lua.
"""

from __future__ import annotations

import re

from why502.gateways.nginx.logs.messages import Meaning
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

_ROWS = tuple(
    (lazy(pattern, re.IGNORECASE), Meaning(symptom=symptom, phase=phase, status=status, causes=tuple(causes.split()), is_gateway_failure=True))
    for pattern, symptom, phase, status, causes in (
        (r"dns.{0,150}(?:server error: 3|NXDOMAIN|empty record received)", Symptom.NAME_NOT_FOUND, Phase.RESOLVE, 503, "dns-host-not-found"),
        (r"(?:dns|resol).{0,150}(?:server failure|timeout|timed out|refused|failed to receive reply|cache only lookup failed|recursion)", Symptom.NAME_SERVER_FAILED, Phase.RESOLVE, 503, "dns-resolver-failure dns-host-not-found"),
        (r"no peer was returned", Symptom.NO_MEMBERS, Phase.SELECT, 503, "no-upstream-members all-upstreams-down"),
        (r"failure to get a peer|no (?:available|healthy) (?:peers?|upstream|target)|no resolved .{0,40}peer|balancer is unhealthy", Symptom.NO_LIVE_UPSTREAMS, Phase.SELECT, 503, "all-upstreams-down no-upstream-members health-check-misconfigured"),
        (r"(?:missing|no valid|no) upstream configuration|failed to (?:find|fetch) upstream|missing upstream", Symptom.ROUTE_TARGET_MISSING, Phase.CONFIG, 503, "route-target-missing no-upstream-members"),
        (r"no valid upstream node|no valid (?:node|server)|upstream nodes? (?:is|are) empty", Symptom.NO_MEMBERS, Phase.SELECT, 503, "no-upstream-members all-upstreams-down"),
        (r"all upstream servers tried|failed to find valid upstream server|all upstream nodes is unhealthy", Symptom.NO_LIVE_UPSTREAMS, Phase.SELECT, 502, "all-upstreams-down health-check-misconfigured backend-too-slow"),
        (r"failed the initial dns/balancer resolve|failed to retry the dns/balancer|DNS resolution failed", Symptom.NAME_NOT_FOUND, Phase.RESOLVE, 503, "dns-host-not-found dns-resolver-failure route-target-missing"),
        (r"invalid (?:host|port|upstream host)|failed to (?:parse|set).{0,40}(?:host|port)", Symptom.TARGET_INVALID, Phase.CONFIG, 500, "proxy-target-invalid"),
    )
)  # fmt: skip


def meaning(text: str) -> Meaning | None:
    """Return the meaning of a message after `[lua] ` for the path to a backend; None for all others."""
    return next((found for pattern, found in _ROWS if pattern.search(text[:2048])), None)
