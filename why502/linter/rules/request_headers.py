"""Headers that the backend gets in another form than meant."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_SETS = ("proxy_set_header", "grpc_set_header")
_QUOTES = lazy("[\u201c\u201d\u201e\u2018\u2019]")
_VALUES = frozenset({"upgrade", "close", "keep-alive", "websocket"})
_HOSTS = frozenset({"host", "http_host", "proxy_host", "server_name", "upstream_host"})


@rule(190, "host-is-not-the-name", Severity.WARNING, "wrong-host-header")
def host(deployment: Deployment) -> Iterator[Risk]:
    """The backend gets a Host that is no name of the site: empty, a pattern, the name of a variable or of this machine.

    `$server_name` is the first name of the server as written: `_` or `*.example.org`. Redirects lead nowhere, and backends
    that check the Host answer 400 or 404.
    """
    for level, directive in deployment.uses(*_SETS):
        if len(directive.args) == 2 and directive.args[0].lower() == "host":
            value = directive.args[1]
            if not value:
                yield risk("the backend gets no Host", directive.at, "write $host")
            elif value in ("$hostname", "${hostname}"):
                yield risk("the Host is the name of this machine, whatever the client asked for", directive.at, "write $host")
            elif value.startswith("$http_host:"):
                message = "the Host has two ports if the client sends one"
                yield risk(message, directive.at, "write $http_host, or $host:PORT", severity=Severity.NOTE)
            elif value.lower() in _HOSTS:
                yield risk(f"the Host is the word {value}", directive.at, f"write ${value.lower()}")
            elif value.strip('"') == "$server_name" and (name := _pattern(level)):
                yield risk(f"the Host is {name}", directive.at, "write $host")
    for level, directive in deployment.uses("return", "rewrite"):
        if "//$server_name" in " ".join(directive.args) and (name := _pattern(level)):
            yield risk(f"the redirect leads to {name}", directive.at, "write $host")


def _pattern(level: Level) -> str:
    """Return the name of the server around a level if it is a pattern, else ""."""
    server = level.server
    named = server.own("server_name") if server else ()
    first = named[0].args[0] if named and named[0].args else ""
    return first if first == "_" or first.startswith(("*", "~")) or first.endswith(".*") else ""


@rule(191, "upgrade-header-mistaken", Severity.WARNING, "websocket-upgrade-missing")
def upgrade(deployment: Deployment) -> Iterator[Risk]:
    """The headers of a WebSocket handshake do not reach the backend as it needs them.

    It needs `Upgrade: websocket` and `Connection: upgrade` in the request. `add_header` adds to the response, and a variable's
    name without `$` is only a word. A fixed word asks for WebSockets in every request.
    """
    defined = {
        directive.args[-1].lstrip("$")
        for _, directive in deployment.uses("map")
        if directive.args and directive.args[-1][:1] == "$"
    }
    for level, directive in deployment.uses("proxy_set_header", "add_header"):
        name, value = (*directive.args, "", "")[:2]
        if directive.name == "add_header":
            is_set = any(header.args[:1] and header.args[0].lower() == "upgrade" for header in level.settings.get(_SETS[0], ()))
            if name.lower() == "upgrade" and "upgrade" in value and not is_set and level.own("proxy_pass"):
                yield risk("add_header adds Upgrade to the response", directive.at, "write proxy_set_header")
        elif name.lower() == "upgrade" and value.lower() == "websocket":
            if level.name in ("http", "server") or (level.name == "location" and level.args == ("/",)):
                yield risk("every request asks for a WebSocket", directive.at, "write $http_upgrade", severity=Severity.NOTE)
        elif name.lower() == "connection" and value == "$http_upgrade":
            yield risk("Connection becomes `websocket`", directive.at, "write upgrade, or a variable of a map")
        elif name.lower() == "connection" and value in defined - _VALUES | {"connection_upgrade"}:
            yield risk(f"Connection becomes the word {value}", directive.at, f"write ${value}")


@rule(192, "header-malformed", Severity.WARNING, "upstream-error-status")
def malformed(deployment: Deployment) -> Iterator[Risk]:
    """A header reaches the backend malformed: a colon in its name, typographic quotation marks, or a body whose length is wrong.

    nginx writes the colon itself, and knows only straight quotation marks. Without Content-Length the backend sees no body, and
    nginx does not send in chunks because a header says so.
    """
    for level, directive in deployment.uses(*_SETS):
        if not directive.args:
            continue
        name, value = (*directive.args, "")[:2]
        if name.endswith(":"):
            yield risk(f"{name} gets a second colon", directive.at, "remove the colon")
        elif _QUOTES.search(value):
            yield risk(f"the quotation marks of {value} are sent, too", directive.at, 'write " or no quotation marks')
        elif name.lower() == "transfer-encoding" and value:
            yield risk("the body is not sent in chunks, although the header says so", directive.at, "remove it")
        elif name.lower() == "content-length" and len(directive.args) == 2 and not value:
            is_sent = "proxy_pass_request_body" not in level.settings and "internal" not in level.by_name
            if is_sent and level.name == "location" and level.is_known and level.own("proxy_pass"):
                yield risk("the body is sent without its length", directive.at, "remove it, or add proxy_pass_request_body off")
