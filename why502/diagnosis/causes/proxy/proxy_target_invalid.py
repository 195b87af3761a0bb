"""The target is built from variables and is unusable: bad scheme, port or URI, or an unknown named location.

nginx logs "invalid URL prefix", "invalid port in upstream" or "could not find named location" and answers 500.

## Do not confuse with
- `resolver-missing`, `dns-host-not-found`: the target is well-formed but does not resolve.

## Confirm
- Log the variable (`log_format … $backend`).

## Fix
- Give the variable a value with scheme and port in every case (a map with a default).

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.diagnosis.cause import Cause
from why502.model.config import Position, Route
from why502.model.finding import PROOF, Layer, Risk, Severity
from why502.model.logs import Symptom
from why502.model.patterns import lazy

_LONGEST = 500  # of an expression that is compared with others, in characters
_ONE_PATH = lazy(r"~\*? \^/[\w/.-]*\$")


def _is_wide(location: str) -> bool:
    """Return whether a location matches many URIs: a prefix that ends with a slash, or a regular expression for several."""
    if location.startswith("="):
        return False
    return (location.startswith("~") and not _ONE_PATH.fullmatch(location.replace("\\", ""))) or location.endswith("/")


@rule(111, "variable-target-loses-uri", Severity.NOTE, "route-not-found")
def uri_lost(deployment: Deployment) -> Iterator[Risk]:
    """A target with a variable has a fixed URI, which replaces the URI of every request.

    With variables nginx passes the URI exactly as written: `proxy_pass $app/api/;` requests `/api/` whatever URI the client
    requested.
    """
    before: dict[Position | None, dict[tuple[str, ...], int]] = {}
    for route in deployment.routes:
        uri = route.uri
        if route.directive != "proxy_pass" or not route.has_variables or uri is None or not _is_wide(route.location):
            continue
        written = re.sub(r"^(?:https?://|\$\{?scheme\}?://)", "", route.passes)
        if (
            "/" in written
            and "$" not in written.partition("/")[2]
            and "$" in written.partition("/")[0]
            and not route.if_conditions
        ):
            level = deployment.level(route)
            if (
                level
                and not level.own("health_check", "internal")
                and not any(outer.own("rewrite") for outer in level.outwards if outer.name in ("location", "if"))
                and not _is_rest(route, before, deployment)
            ):
                fixed = "/" + written.partition("/")[2]
                yield risk(
                    f"every request here is sent to the backend as {fixed}",
                    route.at,
                    "remove the URI, or append $request_uri",
                )


def _is_rest(route: Route, before: dict[Position | None, dict[tuple[str, ...], int]], deployment: Deployment) -> bool:
    """Return whether an expression above takes the paths below this one, as `~ ^/a/([0-9]+)/(.*)` does for `~ ^/a/([0-9]+)`.

    `before`: by server, the number of the first location below each expression that is a directory.
    """
    if not route.location.startswith("~"):
        return False
    if route.server_at not in before:
        first = before[route.server_at] = {}
        for number, location in enumerate(deployment.server(route.server_at).locations):
            *outer, name = location.path
            for slash in re.finditer("/", name[:_LONGEST] if name.startswith("~") else ""):
                first.setdefault((*outer, name[: slash.start()]), number)
            first.setdefault(("", *location.path), number)
    first = before[route.server_at]
    here = first.get(("", *route.location_path))
    return here is not None and first.get(route.location_path, here) < here


@rule(115, "named-location-missing", Severity.ERROR)
def named_missing(deployment: Deployment) -> Iterator[Risk]:
    """try_files or error_page redirects to a named location that the server does not have.

    nginx does not check this when it loads. The first such request fails with 500 (`could not find named location`).
    """
    locations: dict[Position | None, set[str]] = {}  # by server: one of thousands of locations is looked at once
    for level, directive in deployment.uses("try_files", "error_page"):
        last = directive.args[-1] if directive.args else ""
        if not last.startswith("@") or "$" in last:
            continue
        server = level.server
        if server is None or not server.is_known or not level.is_known or (level is server and _always_redirects(server)):
            continue
        if server.at not in locations:
            locations[server.at] = {" ".join(found.args) for found in server.own("location")}
        if last not in locations[server.at]:
            yield risk(
                f"{directive.name} redirects to {last}, which this server does not have",
                directive.at,
                f"add `location {last} {{ … }}`",
            )


def _always_redirects(server: Level) -> bool:
    """Return whether a server answers every request with a redirect before anything else in it applies."""
    return any(
        directive.args[0] in ("^", "^(.*)", "^(.*)$", "^/(.*)$", "^.*", ".*") and directive.args[-1] in ("permanent", "redirect")
        for directive in server.own("rewrite")
        if directive.args
    ) or bool(server.own("return"))


CAUSE = Cause(
    id="proxy-target-invalid",
    layer=Layer.PROXY,
    message="the target is built from variables and is unusable: bad scheme, port or URI, or an unknown named location",
    symptoms={Symptom.TARGET_INVALID: PROOF},
    foresee=(
        uri_lost,
        named_missing,
    ),
)
