"""Traefik has no codes; its own log tells Go's error text (logs/go_errors.py) at DEBUG level."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="traefik",
    title="Traefik",
    formats=("traefik",),
    about=(
        "Errors of requests are logged at DEBUG only. An end of the connection is 502, a timeout 504, a client that left 499, another failure of"
        " the network 502, and all else 500 (certificates, malformed answers). With Docker, 30 s and `dial tcp 172.…: i/o timeout` nearly always"
        " mean that Traefik and the container share no network, or the wrong one is taken (label traefik.docker.network)."
    ),
    next=("traefik with --log.level=DEBUG for a minute", "curl -s localhost:8080/api/http/services (serverStatus)", "docker network inspect NETWORK"),
    references=("https://doc.traefik.io/traefik/observability/logs/",),
)  # fmt: skip
