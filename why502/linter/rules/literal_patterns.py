"""Names, locations, map entries and values that look like patterns, and that nginx compares letter by letter."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.directives import table
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_REPEATED = (".*", ".+")
_SETS = ("]*", "]+")
_GLOB = lazy(r"\w/\*\\?\.[A-Za-z(]")  # a directory, and a star for a name in it
_CHOICE = lazy(r"\(?[\w.-]+(?:\|[\w.-]+)+\)?")
_REQUEST = frozenset(
    {"$request_method", "$host", "$http_host", "$uri", "$document_uri", "$request_uri", "$scheme", "$http_upgrade"}
)
_MAP_WORDS = frozenset({"default", "include", "volatile", "hostnames"})


@rule(188, "pattern-taken-literally", Severity.WARNING, "route-not-found")
def literal(deployment: Deployment) -> Iterator[Risk]:
    """A name looks like a pattern or a URL, but nginx compares it letter by letter.

    A regular expression begins with `~`, in a location, a map and a server name alike. `location /api/*` matches only a star, a
    map knows `*.example.org` only with `hostnames`, and a server name has no comma, scheme or port. `=` in an `if` knows no
    `a|b`, and in an expression the star of `/*.json` repeats the slash. Requests go elsewhere.
    """
    for level, directive in deployment.uses("location", "server_name", "map", "if"):
        if directive.name == "location":
            yield from _location(directive)
        elif directive.name == "server_name" and level.name == "server":
            yield from _server(directive)
        elif directive.name == "map" and directive.children is not None:
            yield from _map(directive, level)
        elif directive.name == "if" and len(directive.args) == 3:
            yield from _condition(directive)


def _is_pattern(text: str) -> bool:
    """Return whether a text can only be meant as a regular expression."""
    return (
        text.startswith(("^/", "^("))
        or any(mark in text for mark in _REPEATED)
        or any(mark in text and "[" in text.partition(mark)[0] for mark in _SETS)
        or ")" in text.partition("|")[2]
        or (text.startswith("/") and text.endswith("$"))
    )


def _location(directive: Directive) -> Iterator[Risk]:
    path = directive.args[-1] if directive.args else ""
    if (directive.args[0] if directive.args else "") in ("~", "~*") and _GLOB.search(path):
        yield risk(f"the star in {path} repeats the slash before it", directive.at, "write .* for any name")
    if len(directive.args) > 2 or (directive.args[0] if directive.args else "")[:1] in ("~", "@", ""):
        return
    if _is_pattern(path):
        yield risk(f"location {path} has no ~, and matches only these letters", directive.at, f"write location ~ {path}")
    elif "*" in path:
        yield risk(f"location {path} matches only a path with a star", directive.at, f"write location {path.partition('*')[0]}")


def _condition(directive: Directive) -> Iterator[Risk]:
    name, operator, value = (*directive.args[:2], directive.args[2].removesuffix(")"))
    if operator == "=" and name.removeprefix("(") in _REQUEST and _CHOICE.fullmatch(value):
        yield risk(f"{name.removeprefix('(')} is never {value}", directive.at, f"write ~ ^({value.strip('()')})$")


def _server(directive: Directive) -> Iterator[Risk]:
    for name in directive.args:
        if name.startswith("~") or "$" in name:
            continue
        if "_" in name and name in table():
            message = f'"{name}" became a server name'
            yield risk(message, directive.at, "check for a missing semicolon")
            return
        if "://" in name or "/" in name or "," in name or (":" in name and not name.startswith("[")):
            yield risk(f"no request has the name {name}", directive.at, "write only the names, separated by spaces")
        elif "*" in name.removeprefix("*").removesuffix("*"):
            message = f"{name} has a star inside, which nginx does not know"
            yield risk(message, directive.at, "use *.NAME, NAME.*, or a regular expression with ~")


def _map(directive: Directive, level: Level) -> Iterator[Risk]:
    if level.name not in ("http", "stream", ""):
        return
    lines = directive.children or ()
    has_names = any(line.name == "hostnames" for line in lines)
    for line in lines:
        if line.name in _MAP_WORDS or line.name.startswith(("~", "\\")) or len(line.args) != 1:
            continue
        if line.name.startswith("^") and _is_pattern(line.name):
            yield risk(f"{line.name} has no ~, and matches only these letters", line.at, f"write ~{line.name}")
        elif not has_names and line.name.startswith("*.") and line.name[2:].replace(".", "").replace("-", "").isalnum():
            yield risk(f"{line.name} matches only a name with a star", line.at, "add `hostnames;` to the map")
