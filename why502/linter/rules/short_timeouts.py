"""Timeouts that healthy backends exceed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.defaults import PASSES
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_SHORTEST_S = {"connect_timeout": 0.1, "read_timeout": 1.0, "send_timeout": 1.0}
_NAMES = tuple(f"{name.removesuffix('_pass')}_{kind}" for name in PASSES for kind in _SHORTEST_S)
_QUICK = lazy(r"mirror|health|ping|auth|stat|metric|live|ready|status", re.IGNORECASE)  # for which a quick rejection is intended


@rule(181, "timeout-very-short", Severity.WARNING, "proxy-timeout-too-short")
def too_short(deployment: Deployment) -> Iterator[Risk]:
    """A timeout is so short that a healthy backend exceeds it.

    One lost packet costs a second, a garbage collection or a cold cache more than that. The client gets 504.
    """
    seen = set()
    for route in deployment.routes_with(*_NAMES):
        if _QUICK.search(route.location) or len(route.peers) > 1:
            continue
        module = route.directive.removesuffix("_pass")
        for name, least in _SHORTEST_S.items():
            setting = route.settings.get(f"{module}_{name}", ())
            value: float = getattr(route, f"{name}_s")
            if setting and 0 < value < least and setting[-1].at not in seen:
                seen.add(setting[-1].at)
                yield risk(
                    f"{module}_{name} is {setting[-1].args[0]}",
                    setting[-1].at,
                    "give it a second or more, and the backend the time it needs",
                )
