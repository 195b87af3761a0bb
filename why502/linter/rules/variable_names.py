"""Variables that are defined without their `$`."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity

_DEFINES = {"set": 0, "auth_request_set": 0, "map": -1, "geo": -1, "split_clients": -1}


@rule(176, "variable-without-dollar", Severity.ERROR, "proxy-config-invalid")
def no_dollar(deployment: Deployment) -> Iterator[Risk]:
    """A variable is defined under a name that does not begin with `$`.

    nginx refuses the configuration: `invalid variable name`.
    """
    for _, directive in deployment.uses(*_DEFINES):
        name = directive.args[_DEFINES[directive.name]] if directive.args else "$"
        if not name.startswith("$"):
            yield risk(f'"{name}" is not a variable', directive.at, f"write ${name}")
