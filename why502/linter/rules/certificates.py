"""TLS servers without a certificate."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.model.config import Position
from why502.model.finding import Risk, Severity


@rule(172, "tls-without-certificate", Severity.ERROR, "proxy-config-invalid")
def missing(deployment: Deployment) -> Iterator[Risk]:
    """The default server of a TLS address has no certificate, or a certificate has no key.

    nginx refuses the configuration: `no "ssl_certificate" is defined`. A server that should reject unknown names sets
    `ssl_reject_handshake on`.
    """
    if not deployment.is_whole:  # the certificate may be in `http`, and the default server in another file
        return
    addresses: dict[str, list[tuple[Level, Directive]]] = {}
    for level in deployment.blocks("server"):
        if level.path[:1] in (("stream",), ("mail",)) or _is_swallowed(level):
            continue
        if level.is_known and "ssl_certificate" in level.settings and "ssl_certificate_key" not in level.settings:
            at = level.settings["ssl_certificate"][-1].at
            yield risk("the certificate has no ssl_certificate_key", at, "add ssl_certificate_key")
        for directive in level.own("listen"):
            if directive.args:
                addresses.setdefault(directive.args[0].removeprefix("*:").removeprefix("0.0.0.0:"), []).append((level, directive))
    reported: set[Position | None] = set()
    for found in addresses.values():
        default = next((x for x in found if {"default_server", "default"} & set(x[1].args)), found[0])
        level, directive = default
        is_tls = any({"ssl", "quic"} & set(other.args) for _, other in found)
        if (
            is_tls
            and level.at not in reported
            and level.is_known
            and not {"ssl_certificate", "ssl_reject_handshake"} & set(level.settings)
        ):
            yield risk(
                f"listen {directive.args[0]} uses TLS, but this server has no certificate",
                directive.at,
                "add ssl_certificate and ssl_certificate_key",
            )


def _is_swallowed(level: Level) -> bool:
    """Return whether a directive without its semicolon has taken the certificate for its own argument."""
    return any("ssl_certificate" in directive.args for directive in level.directives)
