"""Conditions of `if` that nginx does not understand."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_OPERATORS = frozenset({"=", "!=", "~", "~*", "!~", "!~*"})
_FILE = lazy(r"!?-[fdex]")


@rule(171, "condition-refused", Severity.ERROR, "proxy-config-invalid")
def refused(deployment: Deployment) -> Iterator[Risk]:
    """The condition of an `if` is more than one comparison, or the space before it is missing.

    nginx has no `&&`, `||` and `==`, and reads `if(` as the name of a directive. It refuses the configuration.
    """
    for level, directive in deployment.uses(*(name for name in deployment.directives if name == "if" or name.startswith("if("))):
        if level.path[:1] in (("stream",), ("mail",)):
            continue
        if directive.name != "if":
            yield risk("nginx needs a space between if and (", directive.at, "write `if (…)`")
        elif directive.children is not None and (problem := _problem(directive.args)):
            yield risk(problem, directive.at, "write one comparison with = != ~ or ~*, or combine them in a `map`")


def _problem(args: tuple[str, ...]) -> str:
    words = list(args)
    if not words or not words[0].startswith("(") or not words[-1].endswith(")"):
        return "the condition of `if` must be in parentheses"
    words[0] = words[0].removeprefix("(")
    words[-1] = words[-1].removesuffix(")")
    words = words[not words[0] :]  # a parenthesis that stood alone; an empty text is a value
    if args[-1] == ")":
        words.pop()
    if not words:
        return "the condition of `if` is empty"
    if _FILE.fullmatch(words[0]):
        return "" if len(words) == 2 else f'"{words[0]}" takes one path'
    if not words[0].startswith("$") or len(words) == 1:
        return "" if words[0].startswith("$") else f'"{words[0]}" is not a condition'
    if words[1] not in _OPERATORS:
        return f'`if` does not know "{words[1]}"'
    return "" if len(words) == 3 else f'`if` makes one comparison: "{" ".join(words[3:])[:40]}" is too much'
