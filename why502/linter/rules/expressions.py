"""Regular expressions that PCRE refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

# Errors that Python and PCRE share; other errors of Python may concern syntax that only PCRE supports.
_SURE = (
    "missing ), unterminated subpattern",
    "unbalanced parenthesis",
    "unterminated character set",
    "nothing to repeat at position 0",
)
_LONGEST = 2000
_ESCAPED = lazy(r"\\.", re.DOTALL)
_GROUP = lazy(r"\(\?P?<[A-Za-z_]\w*>")
_SET = lazy(r"\[(?:[^\[\]^]|\^[^\[\]])[^\[\]]*+\]")  # without another bracket in it
_PARENTHESES = lazy(r"[()]")
_EXPRESSION = lazy(r"~\*?\s*(.*)", re.DOTALL)


@rule(170, "expression-refused", Severity.ERROR, "proxy-config-invalid")
def refused(deployment: Deployment) -> Iterator[Risk]:
    """A regular expression has an unbalanced parenthesis or bracket.

    nginx refuses the configuration: `pcre2_compile() failed`. An expression with a brace needs quotation marks: without them
    `{3}` begins a
    block.
    """
    for level, directive in deployment.uses("location", "rewrite", "server_name"):
        for expression in _expressions(level, directive):
            if problem := _problem(expression):
                yield risk(f"{problem}: {expression}", directive.at, "close it, or escape it with a backslash")


def _expressions(level: Level, directive: Directive) -> Iterator[str]:
    args = directive.args
    if directive.name == "location" and args:
        match = _EXPRESSION.match(" ".join(args)) if args[0].startswith("~") else None
        yield from (match[1],) if match else ()
    elif directive.name == "rewrite" and args:
        yield args[0]
    elif level.name == "server":
        yield from (word[1:] for word in args if word.startswith("~"))


def _is_plain(expression: str) -> bool:
    """Return whether it surely has none of the errors: every bracket and parenthesis has its other one, nothing to repeat.

    Compiling each of thousands of expressions takes a hundred times as long.
    """
    left = _GROUP.sub("(", _SET.sub("x", _ESCAPED.sub("x", expression)))
    if left[:1] in ("*", "+", "?") or "[" in left or "(?" in left:
        return False
    open_ = 0
    for mark in _PARENTHESES.findall(left):
        open_ += 1 if mark == "(" else -1
        if open_ < 0:
            return False
    return not open_


def _problem(expression: str) -> str:
    if len(expression) > _LONGEST or _is_plain(expression):
        return ""
    try:
        re.compile(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", expression))
    except re.error as error:
        return next((sure.removesuffix(" at position 0") for sure in _SURE if str(error).startswith(sure)), "")
    except (RecursionError, OverflowError):
        return ""
    return ""
