"""No route matches the request.

Envoy logs NR. Traefik answers "404 page not found", ingress-nginx "default backend - 404".

## Do not confuse with
- `route-target-missing`: the route exists, but its backend does not.

## Confirm
- Compare the proxy's list of routes with the host and path of the request.

## Fix
- Add the route, or add the host name to an existing one.

## References
- https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.deployment.variants import alternatives, certainty
from why502.diagnosis.alarms import is_astray
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.config import Position
from why502.model.finding import PROOF, Evidence, Layer, Risk, Severity, refutes
from why502.model.logs import Symptom
from why502.model.patterns import lazy

_STATIC = lazy(r"\((?:\?:)?[^()]{0,400}\b(?:css|js|png|jpe?g|gif|ico|svg|woff2?)\b[^()]{0,400}\)\$?")

# Names that somebody is to replace, with several.
_EXAMPLE = lazy(r"(?:^|\.)(?:example\.(?:com|org|net)|(?:your|my)?-?domain\.(?:com|org|tld))$", re.IGNORECASE)


@rule(110, "slash-lost-in-proxy-pass", Severity.WARNING)
def slash_lost(deployment: Deployment) -> Iterator[Risk]:
    """A location ends with a slash, but the URI of its proxy_pass does not.

    nginx replaces the location prefix with that URI: with `location /api/` and `proxy_pass http://app/v1`, `/api/users` becomes
    `/v1users`.
    """
    for route in deployment.routes:
        name = route.location.removeprefix("^~ ")
        uri = route.uri
        if route.directive != "proxy_pass" or route.has_variables or uri is None or not name.startswith("/") or len(name) < 2:
            continue
        if name.endswith("/") and not uri.endswith(("/", "=", "&")) and "?" not in uri:
            yield risk(f"{name}x becomes {uri}x", route.at, f"end the URI with a slash: {uri}/")


@rule(112, "static-files-not-proxied", Severity.WARNING)
def static_not_proxied(deployment: Deployment) -> Iterator[Risk]:
    """A location for images and scripts matches them before they reach the backend, but has no directory to serve them from.

    A regular expression takes precedence over `location /`, which passes everything else. Without a pass directive or root, nginx
    looks for such files in its default directory: 404.
    """
    roots = {
        route.server_at for route in deployment.routes if route.location in ("", "/") and route.protocol in ("http", "https")
    }
    for level in deployment.blocks("location"):
        server = level.around
        modifier = level.args[0] if level.args else ""
        if not modifier.startswith("~") or server is None or server.name != "server" or server.at not in roots:
            continue
        names = {directive.name for directive in level.directives}
        handled = any(name.endswith("_pass") or "_by_lua" in name for name in names) or names & {
            "root", "alias", "return", "try_files", "rewrite", "error_page", "location", "if", "deny", "internal", "include"
        }  # fmt: skip
        if (
            _STATIC.search(level.args[-1])
            and not handled
            and "root" not in level.settings
            and level.is_known
            and deployment.is_whole
        ):
            if not {"error_page", "try_files"} & level.settings.keys():
                yield risk(
                    f"requests matching {level.args[-1]} are not passed on, and no root is set",
                    level.at,
                    "repeat the proxy_pass there, or set root",
                )


@rule(113, "server-name-taken", Severity.WARNING)
def name_taken(deployment: Deployment) -> Iterator[Risk]:
    """Two servers have the same name on the same address; nginx never selects the second for it.

    nginx only logs a warning (`conflicting server name … ignored`), and requests go to the other server's backend.
    """
    seen: dict[tuple[str, str], Position | None] = {}
    reported = set()
    for server in deployment.servers:
        for listen in server.listens:
            address = re.sub(r"^(?:\*|0\.0\.0\.0):", "", (listen.split() or [""])[0])
            for name in server.names:
                key = (address, name.lower())
                first = seen.setdefault(key, server.at)
                is_name = name[:1] != "$" and any(character.isalnum() for character in name)  # "_" is the usual placeholder
                if first != server.at and is_name and (server.at, name) not in reported and not alternatives(first, server.at):
                    reported.add((server.at, name))
                    yield risk(
                        f"{name} on {address} belongs to the server at {seen[key]}",
                        server.at,
                        "remove one, or rename it",
                        severity=Severity.NOTE if _EXAMPLE.search(name) else certainty(first, server.at, deployment.is_here),
                    )


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence against this cause: a request or two beside others that are served."""
    if (tally := case.tally(Symptom.ROUTE_MISSING)) and is_astray(case.here):
        yield refutes("one or two requests may have a mistyped address: others are served", tally.source, PROOF)


CAUSE = Cause(
    id="route-not-found",
    layer=Layer.PROXY,
    message="no route matches the request",
    symptoms={Symptom.ROUTE_MISSING: 5.0},
    examine=examine,
    foresee=(
        slash_lost,
        static_not_proxied,
        name_taken,
    ),
)
