"""Connections to backends from the client's address."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity

_BINDS = ("proxy_bind", "fastcgi_bind", "uwsgi_bind", "scgi_bind", "grpc_bind")
_CLIENTS = frozenset({"$remote_addr", "$proxy_protocol_addr", "$realip_remote_addr"})


@rule(186, "bind-without-transparent", Severity.ERROR, "proxy-bind-failed")
def not_transparent(deployment: Deployment) -> Iterator[Risk]:
    """nginx is configured to connect from the client's address, but without `transparent`.

    The kernel refuses an address that this machine does not have: `bind() failed (99: Cannot assign requested address)`, 500
    for every
    client.
    """
    for _, directive in deployment.uses(*_BINDS):
        if directive.args[:1] and directive.args[0] in _CLIENTS and "transparent" not in directive.args:
            message = f"{directive.name} {directive.args[0]} fails for every client"
            yield risk(message, directive.at, "add `transparent`, or remove it")
