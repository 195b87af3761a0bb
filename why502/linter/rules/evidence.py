"""Logs that do not show why a request failed. They cause no failure, but make every cause harder to find."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.model.config import Position
from why502.model.finding import Risk, Severity

_CAUSE = "unknown"
_HIDING = frozenset({"crit", "alert", "emerg"})


@rule(130, "log-format-without-upstream", Severity.NOTE, _CAUSE)
def no_upstream_fields(deployment: Deployment) -> Iterator[Risk]:
    """The access log of proxied requests does not show which backend answered, how, and how fast.

    Without `$upstream_addr`, `$upstream_status` and `$upstream_response_time` a 502 of the proxy and one of the backend look
    alike.
    """
    stock = _stock_log(deployment)
    if stock is not None:
        yield risk("the stock format `combined` contains nothing about the backend", stock, _FIELDS)
    used = {
        setting.args[1]
        for route in deployment.routes
        for setting in route.settings.get("access_log", ())
        if len(setting.args) > 1
    }
    for level in deployment.blocks("http"):
        for directive in level.own("log_format"):
            if directive.args and directive.args[0] in used and "$upstream_" not in "".join(directive.args[1:]):
                message = f'log format "{directive.args[0]}" contains nothing about the backend'
                yield risk(message, directive.at, _FIELDS)


_FIELDS = "log with a format that has $upstream_addr $upstream_status $upstream_header_time $upstream_response_time"


def _stock_log(deployment: Deployment) -> Position | None:
    """Return the place of an access log without its own format that records a route's requests; None if there is none."""
    for route in deployment.routes:
        for setting in route.settings.get("access_log", ()):
            if setting.args and setting.args[0] not in ("off", "/dev/null") and setting.args[1:2] in ((), ("combined",)):
                return setting.at
    return None


@rule(131, "error-log-off", Severity.WARNING, _CAUSE)
def error_log_off(deployment: Deployment) -> Iterator[Risk]:
    """The error log goes nowhere.

    It is the only place that records why a request became a 502. `error_log off` does not even turn it off: it writes to a file
    of that name.
    """
    for level, directive in deployment.uses("error_log"):
        if directive.args[:1] == ("off",):
            yield risk(
                'error_log has no "off": this writes to a file called off', directive.at, "give a file, or raise its level"
            )
        elif directive.args[:1] == ("/dev/null",) and (level.name in ("", "http") or _passes(deployment, level.at)):
            # on purpose, unlike `off`: for speed, or for privacy
            yield risk("errors of backends are not logged", directive.at, "give a file", severity=Severity.NOTE)


@rule(132, "error-log-hides-failures", Severity.NOTE, _CAUSE)
def error_log_level(deployment: Deployment) -> Iterator[Risk]:
    """The error log's level hides failures of backends.

    Refused, reset and timed out connections are logged at level error.
    """
    used = {setting.at for route in deployment.routes_with("error_log") for setting in route.settings.get("error_log", ())}
    for level in _above_routes(deployment) if used else ():
        for directive in level.own("error_log"):
            if directive.at not in used:
                continue  # a block inside has its own
            if len(directive.args) > 1 and directive.args[1] in _HIDING and directive.args[0] != "/dev/null":
                yield risk(f"level {directive.args[1]} omits why backends failed", directive.at, "use error or warn")


@rule(133, "access-log-off", Severity.NOTE, _CAUSE)
def access_log_off(deployment: Deployment) -> Iterator[Risk]:
    """No access log is written for proxied requests.

    How many requests fail, since when, and on which route cannot be determined.
    """
    for level in deployment.blocks("http", "server"):
        off = [directive for directive in level.own("access_log") if directive.args[:1] == ("off",)]
        if not off or level.path[:1] == ("stream",):
            continue
        logged = [
            route
            for route in deployment.routes
            if route.settings.get("access_log", ())[:1] != () and _is_below(route.server_at, level.at, level.name)
        ]
        here = [route for route in logged if route.settings["access_log"][-1].at == off[0].at]
        if here and len(here) == len(logged):
            yield risk("requests to the backend are not logged", off[0].at, "turn it off for single locations only")


def _above_routes(deployment: Deployment) -> Iterator[Level]:
    """Yield each block that has a route in it, or in a block within."""
    seen = set()
    for route in deployment.routes:
        level = deployment.level(route)
        for outer in level.outwards if level else ():
            if id(outer) in seen:
                break
            seen.add(id(outer))
            yield outer


def _is_below(server: object, at: object, name: str) -> bool:
    return name == "http" or server == at


def _passes(deployment: Deployment, at: object) -> bool:
    return any(at in (route.server_at, route.location_at) for route in deployment.routes)
