"""Scenes of Envoy only.

Source: envoyproxy.io, api-v3/extensions/transport_sockets/tls/v3/common.proto (tls_maximum_protocol_version: TLSv1_2 for
clients), intro/arch_overview/upstream/service_discovery (strict DNS).
"""

from __future__ import annotations

from functools import partial

from why502.lab.certificates import authority, certificate
from why502.lab.gateways.scenes import Play, Scene, frozen, name_servers, to_app


def over_tls_from(play: Play, *, version: str) -> None:
    """Put it before a server that speaks TLS from this version on."""
    ca = authority(play.stage)
    options = ("--tls", certificate(play.stage, ca), "--tls-min", version)
    to_app(play, options=options, is_tls=True, trusted=str(ca), server_name="app.internal")


SCENES = (
    Scene(
        name="tls-version",
        message="the application speaks TLS 1.3 only, and Envoy offers TLS 1.2 at most unless told otherwise",
        build=partial(over_tls_from, version="TLSv1_3"),
        causes=("tls-handshake-failed",),
    ),
    Scene(name="tls", message="no fault; TLS 1.2", build=partial(over_tls_from, version="TLSv1_2"), targets=()),
    Scene(
        name="frozen",
        message="the application's process is stopped (SIGSTOP)",
        build=frozen,
        causes=("backend-hung",),
    ),
    Scene(
        name="names-fail",
        message="the machine's name server answers SERVFAIL for the server's name",
        build=name_servers,
        causes=("dns-resolver-failure",),
        targets=("app.internal:3000", "shop"),
    ),
)
