"""Maps with two values for one key."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity

_SETTINGS = frozenset({"hostnames", "volatile", "include"})


@rule(174, "map-key-twice", Severity.ERROR, "proxy-config-invalid")
def twice(deployment: Deployment) -> Iterator[Risk]:
    """A `map` has the same key twice.

    nginx refuses the configuration: `duplicate default map parameter`, `conflicting parameter`.
    """
    for level in deployment.blocks("http", "stream", ""):
        for block in level.own("map"):
            seen: dict[str, Directive] = {}
            for line in block.children or ():
                key = line.name.lower()
                if key in _SETTINGS or key.startswith("~") or not line.args:
                    continue
                if key in seen:
                    yield risk(f'"{line.name}" is also at {seen[key].at}', line.at, "remove one of them")
                seen.setdefault(key, line)
