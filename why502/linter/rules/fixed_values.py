"""Values that are the same for every request and cannot be right for all, and variables that are empty for all."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_TO_CLIENT = lazy(r"https?://\$\{?(?:host|http_host)\}?(?::\d+)?(?:[/$].*)?")
_PREREAD = ("$ssl_preread_server_name", "$ssl_preread_alpn_protocols", "$ssl_preread_protocol")
_LEAST_S = {"client_body_timeout": 2.0, "client_header_timeout": 2.0, "send_timeout": 2.0}
_LEAST_NAME_S = 0.5
_LEAST_RATE = 4096


@rule(221, "scheme-fixed-to-http", Severity.WARNING, "wrong-host-header")
def scheme(deployment: Deployment) -> Iterator[Risk]:
    """The backend gets `X-Forwarded-Proto: http` from a server that only takes TLS.

    An application that redirects to HTTPS then does so for every request: "too many redirects". Others set no secure cookies.
    """
    for level, directive in deployment.uses("proxy_set_header", "grpc_set_header"):
        name = directive.args[0].lower() if directive.args else ""
        if name not in ("x-forwarded-proto", "x-forwarded-scheme") or directive.args[1:] != ("http",):
            continue
        server = level.server
        if server is not None and server.own("listen") and all("ssl" in one.args for one in server.own("listen")):
            yield risk("X-Forwarded-Proto is http, and this server only takes TLS", directive.at, "write $scheme")


@rule(222, "client-timeout-very-short", Severity.WARNING, "client-timeout")
def client_short(deployment: Deployment) -> Iterator[Risk]:
    """A time limit for clients is so short that those on a slow connection exceed it.

    A lost packet costs a second, and more after that. Uploads end with 408, downloads are cut.
    """
    for _, directive in deployment.uses(*_LEAST_S):
        value = units.time(directive.args[0]) if directive.args else None
        if value is not None and 0 < value < _LEAST_S[directive.name]:
            yield risk(f"{directive.name} is {directive.args[0]}", directive.at, "give clients ten seconds or more")


@rule(223, "resolver-timeout-very-short", Severity.WARNING, "dns-resolver-failure")
def resolver_short(deployment: Deployment) -> Iterator[Risk]:
    """nginx gives up a name before a healthy name server can answer.

    Requests get 502: `could not be resolved (110: Operation timed out)`.
    """
    for _, directive in deployment.uses("resolver_timeout"):
        value = units.time(directive.args[0]) if directive.args else None
        if value is not None and 0 < value < _LEAST_NAME_S:
            yield risk(f"resolver_timeout is {directive.args[0]}", directive.at, "give it five seconds; the default is thirty")


@rule(224, "rate-very-low", Severity.WARNING, "client-closed-request")
def low_rate(deployment: Deployment) -> Iterator[Risk]:
    """Responses are sent so slowly that clients give up, perhaps for want of a unit.

    `limit_rate 100` is a hundred bytes a second: a page of 50 KB takes eight minutes.
    """
    for _, directive in deployment.uses("limit_rate"):
        value = units.size(directive.args[0]) if directive.args else None
        if value is not None and 0 < value < _LEAST_RATE:
            yield risk(
                f"limit_rate is {directive.args[0]} (bytes a second)",
                directive.at,
                "raise it; a number without `k` or `m` is bytes",
            )


@rule(225, "target-named-by-client", Severity.WARNING, "proxy-loop")
def by_client(deployment: Deployment) -> Iterator[Risk]:
    """The client's Host header decides where requests are passed to.

    A request for this site's own name comes back to this server, again and again, until connections run out. Others reach any
    machine that this one can reach.
    """
    for level, directive in deployment.uses("proxy_pass"):
        if not directive.args or level.path[:1] == ("stream",) or not _TO_CLIENT.fullmatch(directive.args[0]):
            continue
        server = level.server
        names = server.own("server_name") if server else ()
        if not any(outer.name == "if" for outer in level.outwards) and names and not _is_a_forward_proxy(names[0].args):
            yield risk(
                "the client's Host header decides where this leads", directive.at, "name the backend, or use a map of known hosts"
            )


def _is_a_forward_proxy(names: tuple[str, ...]) -> bool:
    """Return whether a server is for any name, as a proxy that clients are told to use."""
    return any(name in ("_", "") or "*" in name or name.startswith("~") for name in names)


@rule(226, "preread-is-off", Severity.WARNING, "route-not-found")
def preread(deployment: Deployment) -> Iterator[Risk]:
    """A stream chooses its target by the name in the TLS handshake, which nginx does not read there.

    Without `ssl_preread on` the variable is empty, so every connection takes the default of the map, or none.
    """
    maps = {
        directive.args[1].lstrip("$"): directive.args[0]
        for _, directive in deployment.uses("map")
        if len(directive.args) == 2 and directive.args[0] in _PREREAD
    }
    for level, directive in deployment.uses("proxy_pass"):
        if level.path[:1] != ("stream",) or not directive.args:
            continue
        text = directive.args[0]
        used = next((name for name in _PREREAD if name in text), None) or maps.get(text.lstrip("$").strip("{}"))
        if used and level.is_known and level.first("ssl_preread") != "on":
            yield risk(f"{used} is empty without `ssl_preread on`", directive.at, "add `ssl_preread on;`")


@rule(227, "location-header-hidden", Severity.WARNING, "invalid-response")
def hidden(deployment: Deployment) -> Iterator[Risk]:
    """The Location header of the backend does not reach clients.

    Its redirects then lead nowhere: browsers show an empty page.
    """
    for level, directive in deployment.uses("proxy_hide_header", "fastcgi_hide_header", "uwsgi_hide_header"):
        if [word.lower() for word in directive.args] == ["location"] and not _answers_itself(level):
            yield risk("redirects of the backend lose their Location", directive.at, "remove the line")


def _answers_itself(level: Level) -> bool:
    """Return whether another line gives clients a Location, or the answer is not theirs: a subrequest's."""
    return any(one.args[:1] and one.args[0].lower() == "location" for one in level.own("add_header", "more_set_headers")) or bool(
        level.own("internal", "proxy_intercept_errors")
    )
