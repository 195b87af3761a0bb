"""The proxy does not forward Upgrade and Connection, so the WebSocket handshake fails.

Both headers are hop-by-hop, so a proxy drops them by default. The backend sees a plain GET and answers 400, 404 or 426.

## Do not confuse with
- `websocket-idle-timeout`: the handshake worked.

## Confirm
- `curl -si -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key:
  AAAAAAAAAAAAAAAAAAAAAA==' URL` returns a status other than 101.

## Fix
- Have the proxy forward the headers Upgrade and Connection, over HTTP/1.1.
- nginx: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection
  $connection_upgrade;` with a map that defines `$connection_upgrade`.

## References
- https://nginx.org/en/docs/http/websocket.html
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.headers import add
from why502.deployment.rule import risk, rule
from why502.deployment.websockets import is_for_websockets
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.targets import addresses
from why502.diagnosis.unserved import unserved
from why502.diagnosis.upgrades import UPGRADE_REQUIRED, UPGRADED, passes_upgrade
from why502.model.config import Route
from why502.model.finding import FAIR, LIKELY, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.remedies.changes import reload
from why502.remedies.upgrades import forward_upgrade

_FOR_WEBSOCKETS = lazy(r"(?<![a-z])wss?(?![a-z])|socket|upgrade", re.IGNORECASE)  # the name of a file with headers


def _upgrade(route: Route) -> bool:
    return any(name.lower() == "upgrade" and value for name, value in route.headers)


@rule(50, "websocket-without-upgrade", Severity.NOTE)
def websocket_path(deployment: Deployment) -> Iterator[Risk]:
    """A location is named like a WebSocket endpoint, but Upgrade is not forwarded.

    nginx drops that header. The backend answers the handshake as a plain request, with 400, 404 or 426.
    """
    for route in deployment.routes_of("http", "https"):
        if not is_for_websockets(route):
            continue
        level = deployment.level(route)
        if level is not None and level.is_known and not _upgrade(route):
            yield risk(f"location {route.location} does not forward the Upgrade header", route.at, add(level, _UPGRADE))


_UPGRADE = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'


@rule(51, "upgrade-needs-http-1.1", Severity.WARNING)
def upgrade_version(deployment: Deployment) -> Iterator[Risk]:
    """Upgrade is forwarded, but the route uses HTTP/1.0, which does not support it.

    HTTP/1.0 is the default of proxy_http_version before nginx 1.29.7. WebSockets cannot open.
    """
    for route in deployment.routes_with("proxy_set_header"):
        level = deployment.level(route)
        if route.protocol in ("http", "https") and _upgrade(route) and route.http_version == "1.0" and level and level.is_known:
            yield risk(
                "Upgrade is forwarded with HTTP/1.0, which does not support it",
                route.at,
                "add `proxy_http_version 1.1;`",
                severity=None if is_for_websockets(route) else Severity.NOTE,
            )


@rule(52, "upgrade-without-connection", Severity.WARNING)
def upgrade_connection(deployment: Deployment) -> Iterator[Risk]:
    """Upgrade is forwarded without `Connection: upgrade`.

    Upgrade needs both headers (RFC 9110, 7.8). By default nginx sends `Connection: close` or none, and the backend ignores
    Upgrade. WebSockets do not open; ordinary requests work.
    """
    for route in deployment.routes_with("proxy_set_header"):
        if route.protocol not in ("http", "https") or not _upgrade(route) or _connection(route):
            continue
        level = deployment.level(route)
        yield risk(
            "Upgrade is forwarded, but Connection is not `upgrade`",
            route.at,
            add(level, 'proxy_set_header Connection "upgrade";'),
            # templates for any application forward it: only the name of the location or the included file shows WebSockets
            severity=None if is_for_websockets(route) or _is_named(level) else Severity.NOTE,
        )


def _is_named(level: Level | None) -> bool:
    """Return whether the Upgrade header comes from an included file that is named for WebSockets."""
    return level is not None and any(
        directive.at
        and level.at
        and directive.at.file != level.at.file
        and _FOR_WEBSOCKETS.search(posixpath.basename(directive.at.file))
        for directive in level.settings.get("proxy_set_header", ())
        if directive.args[:1] and directive.args[0].lower() == "upgrade"
    )


def _connection(route: Route) -> bool:
    """Return whether a route sends `Connection: upgrade`, or what a variable holds."""
    values = [value.lower() for name, value in route.headers if name.lower() == "connection"]
    return any("upgrade" in value or "$" in value for value in values)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: the backend asks for the upgrade, and the route does not forward it."""
    path = case.joins.refused_upgrades.get(case.target) if case.target is not None else None
    if path is None:
        yield from _refused(case)
        return
    count, opened = path.statuses[UPGRADE_REQUIRED], path.statuses.get(UPGRADED, 0)
    message = (
        f"{path.request or path.location} was answered 426 (upgrade required) {count} times, and the route does not "
        "forward Upgrade"
    )
    yield supports(message, str(path.at or ""), LIKELY)
    if opened and path.last_refused is not None:
        yield supports(f"{opened} WebSockets were opened there before", "access log", FAIR)


def _refused(case: Case) -> Iterator[Evidence]:
    """Yield the evidence that the handshakes arrive as plain requests, which the application does not know (404, 400)."""
    for route in case.routes if case.target is not None else _unresolved(case):
        one = next((x for x in unserved(case.joins) if x.is_of_upgrade and x.at is not None and x.at == route.at), None)
        if one is not None and route.protocol in ("http", "https") and not passes_upgrade(route):
            yield supports(f"{one.message}, and the route does not forward Upgrade", str(route.at), LIKELY)
            paths = case.here.logs.paths if case.here.logs else ()
            if opened := sum(path.statuses.get(UPGRADED, 0) for path in paths if path.request == one.request):
                yield supports(f"{opened} WebSockets were opened with {one.request} before", "access log", FAIR)
            return


def _unresolved(case: Case) -> list[Route]:
    """Return the routes whose targets are only known for each request, as in `proxy_pass http://unix:/run/$user.sock`."""
    return [route for route in case.joins.routes if not any(addresses(peer, case.here) for peer in route.peers)]


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    path = case.joins.refused_upgrades.get(case.target) if case.target is not None else None
    if path is None:
        return ""
    every = [each.statuses for each in (case.here.logs.paths if case.here.logs else ()) if each.at == path.at]
    refused, asked = sum(each.get(UPGRADE_REQUIRED, 0) for each in every), sum(sum(each.values()) for each in every)
    where = ", ".join(
        part for part in (path.server or (case.route.server if case.route else ""), f"location {path.location}") if part
    )
    return (
        f"WebSockets do not open: {refused} of {asked} requests to {where} are answered 426 instead of 101, because the route "
        "does not forward Upgrade"
    )


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the two headers in the route whose handshakes the backend refuses."""
    path = case.joins.refused_upgrades.get(case.target) if case.target is not None else None
    refused = {one.at for one in unserved(case.joins) if one.is_of_upgrade and one.at is not None}
    at = (path.at,) if path is not None else tuple(route.at for route in case.routes if route.at in refused)
    for route in case.routes:
        if route.at in at and not passes_upgrade(route) and (change := forward_upgrade(case, route)):
            where = f"location {route.location}" + (f" of {route.server}" if route.server else "")
            message = f"forward Upgrade and Connection in {where}"
            yield Remedy(message=message, steps=(change, *reload(case.joins.proxy_of.get(id(route)))))
            return


CAUSE = Cause(
    id="websocket-upgrade-missing",
    layer=Layer.PROXY,
    message="the proxy does not forward Upgrade and Connection, so the WebSocket handshake fails",
    symptoms={Symptom.UPGRADE_REFUSED: LIKELY},
    outranks=frozenset({"application-error"}),  # it refuses a handshake without Upgrade, as it should
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    is_shown_by_handshake=True,
    foresee=(
        websocket_path,
        upgrade_version,
        upgrade_connection,
    ),
)
