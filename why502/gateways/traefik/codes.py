"""Traefik has no codes; its own log has Go's error text (logs/go_errors.py) at DEBUG level."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="traefik",
    title="Traefik",
    formats=("traefik",),
    about=(
        "Request errors are logged at DEBUG level only; the access log has the status and the server, not the reason. A closed connection is 502, a timeout 504, a client that "
        "disconnected 499, another network failure 502, and everything else 500 (certificates, malformed responses). "
        "With Docker, 30 s and `dial tcp 172.…: i/o timeout` nearly always mean that Traefik and the container share "
        "no network, or that Traefik uses the wrong one (label traefik.docker.network)."
    ),
    next=("run Traefik with --log.level=DEBUG for a minute", "curl -s localhost:8080/api/http/services (serverStatus)", "docker network inspect NETWORK"),
    references=("https://doc.traefik.io/traefik/observability/logs/",),
)  # fmt: skip
