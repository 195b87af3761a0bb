"""A directive that may occur once in a block, and occurs twice."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.deployment.variants import joined
from why502.gateways.nginx.arguments import form
from why502.gateways.nginx.config.defaults import PASSES
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.directives import module_of
from why502.model.finding import Risk, Severity

_ONCE = frozenset({*PASSES, "root", "alias", "try_files", "resolver", "keepalive"})  # their own code rejects the second one


@rule(166, "directive-set-twice", Severity.ERROR, "proxy-config-invalid")
def twice(deployment: Deployment) -> Iterator[Risk]:
    """A directive appears twice in one block, but nginx accepts it only once.

    nginx refuses the configuration: `directive is duplicate`. The second often comes from an included file.
    """
    for level in deployment.levels:
        if len(level.by_name) == len(level.directives):
            continue
        seen: dict[str, Directive] = {}
        for directive in level.directives:
            found = form(directive.name, level.path)
            is_single = directive.name in _ONCE or (found is not None and found.is_single and not found.is_block)
            if not is_single or module_of(directive.name) or directive.name == "server":
                continue
            if directive.name in seen:
                first = seen[directive.name].at
                severity = joined(first, directive.at, deployment.is_here)
                yield risk(f'"{directive.name}" is also at {first}', directive.at, "remove one of them", severity=severity)
            seen.setdefault(directive.name, directive)
