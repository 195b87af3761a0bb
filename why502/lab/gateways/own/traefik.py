"""Scenes of Traefik only. Source: doc.traefik.io/traefik/reference (services, serversTransport)."""

from __future__ import annotations

from why502.lab.gateways.scenes import Scene, frozen, name_servers

SCENES = (
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
        targets=("app.internal:3000",),
    ),
)
