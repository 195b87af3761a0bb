"""The last word of a `rewrite`."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity

_FLAGS = frozenset({"last", "break", "redirect", "permanent"})


@rule(169, "rewrite-flag-unknown", Severity.ERROR, "proxy-config-invalid")
def unknown_flag(deployment: Deployment) -> Iterator[Risk]:
    """The flag of a `rewrite` is not last, break, redirect or permanent.

    nginx refuses the configuration: `invalid parameter`.
    """
    for _, directive in deployment.uses("rewrite"):
        if len(directive.args) > 2 and directive.args[2] not in _FLAGS:
            yield risk(f'rewrite does not accept "{directive.args[2]}"', directive.at, "write last, break, redirect or permanent")
