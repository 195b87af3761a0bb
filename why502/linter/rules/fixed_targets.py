"""Targets that are wrong for every request: a scheme too many or too few, a part of the path that does not exist."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.match import compiled
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_VARIABLE = lazy(r"(?P<scheme>https?://)?\$\{?(?P<name>\w+)\}?(?:[/:].*)?")
_OTHERS = ("geo", "split_clients", "auth_request_set", "js_set", "perl_set", "set_by_lua_block", "set_by_lua_file", "set_by_lua")
_ADDRESS = lazy(r"[\w.-]+(?::\d+)?")
_MAP_WORDS = frozenset({"hostnames", "volatile"})
_CAPTURE = lazy(r"\$(?:(\d)|\{(\d)\})")


@rule(214, "scheme-of-variable-target", Severity.WARNING, "proxy-target-invalid")
def schemes(deployment: Deployment) -> Iterator[Risk]:
    """A variable in `proxy_pass` lacks the scheme, or brings a second one.

    Every request gets 500: `invalid URL prefix`, or `invalid port in upstream "http://http://…"`.
    """
    passes = [(level, one) for level, one in deployment.uses("proxy_pass") if one.args and "$" in one.args[0]]
    values = _values(deployment) if passes else {}
    for level, directive in passes:
        match = _VARIABLE.fullmatch(directive.args[0])
        found = values.get(match["name"].lower()) if match and level.path[:1] != ("stream",) else None
        if not match or not found:
            continue
        shown = f"${match['name']}"
        if match["scheme"] and all(value.startswith(("http://", "https://")) for value in found):
            yield risk(
                f"{shown} begins with a scheme itself",
                directive.at,
                f"write proxy_pass {directive.args[0][len(match['scheme']) :]}",
            )
        elif not match["scheme"] and all(_ADDRESS.fullmatch(value) for value in found):
            yield risk(f"{shown} has no scheme", directive.at, f"write proxy_pass http://{directive.args[0]}")


def _values(deployment: Deployment) -> dict[str, list[str]]:
    """Return all values of the variables that `set` or `map` give; of none that something else gives, too."""
    found: dict[str, list[str]] = {}
    for _, directive in deployment.uses("set", "map"):
        args = directive.args
        if directive.name == "set" and len(args) == 2:
            found.setdefault(args[0].lstrip("$").lower(), []).append(args[1])
        elif directive.name == "map" and len(args) == 2 and directive.children is not None:
            lines = [line for line in directive.children if line.name not in _MAP_WORDS]
            found.setdefault(args[1].lstrip("$").lower(), []).extend(
                line.args[0] if line.name != "include" and line.args else "" for line in lines
            )
    others = {word.lstrip("$").lower() for _, one in deployment.uses(*_OTHERS) for word in one.args if word.startswith("$")}
    return {name: values for name, values in found.items() if name not in others}


@rule(215, "capture-missing", Severity.WARNING, "proxy-target-invalid")
def captures(deployment: Deployment) -> Iterator[Risk]:
    """The target names a group that the expression of the location does not have, and which is therefore empty.

    The backend gets a path without that part, and answers 404 or something else than asked for.
    """
    for level, directive in deployment.uses("proxy_pass"):
        text = directive.args[0] if directive.args else ""
        used = [int(one or other) for one, other in _CAPTURE.findall(text)]
        if not used or level.name != "location" or len(level.args) != 2 or level.args[0] not in ("~", "~*"):
            continue
        pattern = None if _may_capture(level) else compiled(level.args[1], False)
        if pattern is not None and max(used) > pattern.groups:
            has = f"has {pattern.groups} group{'s'[: pattern.groups != 1]}" if pattern.groups else "has no group"
            yield risk(f"${max(used)} is empty: the expression {has}", directive.at, "correct the number, or add parentheses")


def _may_capture(level: Level) -> bool:
    """Return whether something else than the location may set groups."""
    return not level.is_known or any(
        outer.own("rewrite", "if") for outer in level.outwards if outer.name in ("location", "server")
    )


@rule(216, "body-announced-not-sent", Severity.WARNING, "backend-too-slow")
def body(deployment: Deployment) -> Iterator[Risk]:
    """The proxy announces the body of a request and does not send it.

    `proxy_pass_request_body off` leaves the client's Content-Length. A backend that waits for the body answers only after its
    timeout, or with 400.
    """
    asked = {setting.args[0].partition("?")[0] for _, setting in deployment.uses("auth_request", "mirror") if setting.args}
    for route in deployment.routes_setting("pass_request_body"):
        setting = route.setting("proxy_pass_request_body")
        level = deployment.level(route)
        if route.directive != "proxy_pass" or setting is None or setting.args != ("off",) or level is None or not level.is_known:
            continue
        if (
            any(header.lower() == "content-length" for header, _ in route.headers)
            or level.first("proxy_pass_request_headers") == "off"
        ):
            continue
        is_inner = level.own("internal") or (level.args[-1:] and level.args[-1] in asked) or level.first("proxy_method")
        message = "Content-Length is sent without the body"
        severity = Severity.NOTE if is_inner else None  # such a request seldom has a body, and such a service seldom reads it
        yield risk(message, setting.at, 'add proxy_set_header Content-Length "";', severity=severity)


@rule(217, "one-connection-for-all", Severity.NOTE, "upstream-connection-limit")
def one_connection(deployment: Deployment) -> Iterator[Risk]:
    """Every server of a group takes only one request at a time.

    nginx has no queue: while they are busy, other requests get 502 (`no live upstreams`).
    """
    for level in deployment.blocks("upstream"):
        servers = [line.args for line in level.own("server") if line.args and "down" not in line.args]
        if servers and all("max_conns=1" in args for args in servers) and not level.own("queue", "include"):
            many = "one request at a time" if len(servers) == 1 else f"{len(servers)} requests at a time"
            yield risk(f'upstream "{level.args[-1]}" takes {many}', level.own("server")[0].at, "raise max_conns")
