"""Scenes of Caddy only. Source: caddyserver.com/docs/caddyfile/directives/reverse_proxy (tls_server_name)."""

from __future__ import annotations

from why502.lab.certificates import authority, certificate
from why502.lab.gateways.scenes import Play, Scene, other_family, over_tls, to_app


def by_address(play: Play) -> None:
    """Verify a certificate for the address of the server, since no name is configured; it is for app.internal."""
    ca = authority(play.stage)
    to_app(play, options=("--tls", certificate(play.stage, ca)), is_tls=True, trusted=str(ca))


SCENES = (
    Scene(
        name="tls-by-address",
        message="the certificate is for a name, and Caddy verifies it for the address",
        build=by_address,
        causes=("tls-verify-failed",),
    ),
    Scene(name="tls", message="no fault; TLS with the name of the certificate", build=over_tls, targets=()),
    Scene(
        name="other-family",
        message="the application listens on [::1] only",
        build=other_family,
        causes=("wrong-address",),
    ),
)
