"""Rewrites that lead to themselves."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.match import compiled
from why502.gateways.nginx.config.routes import location_name
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_VARIABLE = lazy(r"\$(?:\{\w+\}|\w+)")
_VALUES = ("", "x", "/x")  # possible values of a variable: the rewrite must loop with each of them
_BEGIN = lazy(r"\^([\w/-]+)(?=[^\w/*?{-]|$)")  # letters with which every match begins: none of them is optional
_ENDS = ("break", "redirect", "permanent")


@rule(177, "rewrite-to-itself", Severity.ERROR, "rewrite-cycle")
def to_itself(deployment: Deployment) -> Iterator[Risk]:
    """A rewrite leads to its own location and applies there again.

    nginx gives up after ten rounds: 500, `rewrite or internal redirection cycle`. `break` instead of `last` ends it.
    """
    for level in deployment.blocks("location") if deployment.uses("rewrite") else ():
        server = level.around
        if server is None or server.name != "server" or not server.is_known:
            continue
        for directive in level.own("rewrite"):
            args = directive.args
            if (
                len(args) < 2
                or (args[2:3] and args[2] in _ENDS)
                or args[1].startswith(("http://", "https://", "$"))
                or _is_ended_before(level, directive)
            ):
                continue
            targets = [_VARIABLE.sub(value, args[1]).partition("?")[0] for value in _VALUES]
            begin = _BEGIN.match(args[0]) if "|" not in args[0] else None
            if begin and not all(uri.startswith(begin[1]) for uri in targets):
                continue  # most rewrites: the expression need not be compiled
            expression = compiled(args[0], False)
            if expression is not None and all(
                expression.search(uri) and location_of(server, uri) == name_of(level) for uri in targets
            ):
                yield risk(
                    f"{args[1]} matches this rewrite again",
                    directive.at,
                    "write `break`, or give the target a separate location",
                )
                break


def _is_ended_before(level: Level, directive: Directive) -> bool:
    """Return whether an earlier directive in the block may end the processing: then the rewrite may not apply
    again.
    """
    before = level.directives[: level.directives.index(directive)]
    return any(
        other.name in ("if", "return", "break", "set") or (other.name == "rewrite" and other.args[2:3] != ()) for other in before
    )


def name_of(level: Level) -> str:
    """Return the name of a location, with its modifier separated."""
    return location_name(level.args) if level.args else ""


def location_of(server: Level, uri: str) -> str:
    """Return the location of a server that handles a URI; "" if a nested or unreadable one may."""
    best, is_final = "", False
    expressions = []
    for directive in server.own("location"):
        if not directive.args:
            continue
        name = location_name(directive.args)
        modifier, _, path = name.rpartition(" ")
        if modifier == "=" and path == uri:
            return name
        if modifier in ("~", "~*"):
            expressions.append((name, path, modifier == "~*"))
        elif modifier in ("", "^~") and uri.startswith(path) and len(path) > len(best.rpartition(" ")[2]):
            best, is_final = name, modifier == "^~"
    for name, path, is_caseless in () if is_final else expressions:
        expression = compiled(path, is_caseless)
        if expression is None or expression.search(uri):
            return name if expression is not None else ""
    return best
