"""Targets whose variable is empty for some requests."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_PASSES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass")
_AUTHORITY = lazy(r"(?:\w+://)?([^/?]*)")
_NAME = lazy(r"\$\{?(\w+)\}?")
_EVERYTHING = lazy(r"~\*?(?:\^?\.[*+]?\$?|\^|\$)")


@rule(189, "target-may-be-empty", Severity.WARNING, "proxy-target-invalid")
def may_be_empty(deployment: Deployment) -> Iterator[Risk]:
    """The address of a target is a variable that no line sets for some requests.

    A `map`, `geo` or `split_clients` without a line for the rest gives an empty text, and so does a `set` within an `if` that
    does not apply. These requests get 500: `invalid URL prefix`, `no host in upstream`, `invalid port in upstream`.
    """
    if not deployment.is_whole:
        return
    defined: dict[str, list[Directive]] = {}
    for _, directive in deployment.uses("map", "geo", "split_clients"):
        if directive.args and directive.children is not None:
            defined.setdefault(directive.args[-1].lstrip("$").lower(), []).append(directive)
    sets: dict[str, list[Level]] = {}
    for level, directive in deployment.uses("set", "auth_request_set", "set_by_lua_block", "js_set", "perl_set"):
        if directive.args:
            sets.setdefault(directive.args[0].lstrip("$").lower(), []).append(level)
    checked = {name.lower() for _, directive in deployment.uses("if") for word in directive.args for name in _NAME.findall(word)}
    for level, directive in deployment.uses(*_PASSES):
        text = directive.args[0] if directive.args else ""
        found = _AUTHORITY.match(text) if "$" in text and level.is_known else None
        for name in _NAME.findall(found[1]) if found else ():
            if name.lower() in checked:
                continue
            lines = defined.get(name.lower(), [])
            places = sets.get(name.lower(), [])
            if len(lines) == 1 and not places and not _has_rest(lines[0]):
                message = f"${name} is empty for what no line of the {lines[0].name} at {lines[0].at} names"
                yield risk(message, directive.at, "add a line for the rest: `default`, in split_clients `*`")
            elif not lines and places and all(place.name == "if" for place in places):
                yield risk(f"${name} is set only within `if`", directive.at, "set it before the `if`, too")


def _has_rest(block: Directive) -> bool:
    """Return whether a block has a value for every request, as far as is known."""
    names = [line.name for line in block.children or ()]
    if "include" in names or "default" in names or "*" in names:
        return True
    if block.name == "split_clients":
        return False
    return any(_EVERYTHING.fullmatch(name) for name in names)
