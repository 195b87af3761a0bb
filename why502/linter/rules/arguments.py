"""A directive with arguments that nginx does not accept."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.arguments import Kind, form
from why502.gateways.nginx.directives import module_of
from why502.model.finding import Risk, Severity

_OF_PLUS = frozenset({"server_tokens"})  # nginx Plus takes any text here
_NAMES = {
    Kind.NUMBER: "a number", Kind.TIME: "a time such as 30s or 500ms", Kind.SECONDS: "a time in seconds, minutes or hours",
    Kind.SIZE: "a size such as 8k or 1m", Kind.BUFFERS: "a number and a size",
}  # fmt: skip


@rule(160, "arguments-refused", Severity.ERROR, "proxy-config-invalid", depends_on_build=True)
def refused(deployment: Deployment) -> Iterator[Risk]:
    """A directive has too few or too many arguments, or one that it does not accept.

    nginx refuses the configuration: `invalid number of arguments`, `invalid value`. A missing semicolon is the usual cause of
    too many:
    the next directive becomes an argument of this one.
    """
    reported = {problem.at for problem in deployment.configuration.problems}
    severity = Severity.NOTE if deployment.is_piece else None  # a placeholder of an unknown form is as likely
    for name, uses in deployment.directives.items():
        if name in _OF_PLUS or module_of(name):
            continue
        fine: set[tuple[tuple[str, ...], int, bool]] = set()  # whatever the arguments are
        for level, directive in uses:
            key = (level.path, len(directive.args), directive.children is not None)
            if key in fine:
                continue
            found = form(name, level.path)
            if found is None or found.is_met(directive.args, directive.children is not None) or directive.at in reported:
                if found is None or (found.kind is Kind.ANY and directive.at not in reported):
                    fine.add(key)
                continue
            if found.is_block != (directive.children is not None):
                what = "needs a block { }" if found.is_block else "takes no block"
                advice = "check the line above for a missing semicolon"
                yield risk(f'"{name}" {what}', directive.at, advice, severity=severity)
            elif not found.takes(len(directive.args)):
                message = f'"{name}" does not accept {len(directive.args)} arguments'
                yield risk(message, directive.at, "check for a missing semicolon, or a value without quotes", severity=severity)
            else:
                words = _NAMES.get(found.kind) or f"one of {', '.join(sorted(found.words))}"
                message = f'"{name}" does not accept "{" ".join(directive.args)}"'
                yield risk(message, directive.at, f"write {words}", severity=severity)
