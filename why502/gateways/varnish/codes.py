"""Varnish has no codes; the FetchError record of varnishlog gives the reason of a failed fetch (gateways/varnish/logs.py)."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="varnish",
    title="Varnish",
    formats=("varnish",),
    about=(
        "Varnish has one error of its own: 503 `Backend fetch failed`. The reason is only in shared memory, as FetchError. A "
        "closed connection and a reset one look the same (`HTC eof`). Varnish itself retries a request that failed on "
        "a reused connection."
    ),
    next=("varnishlog -g request -q FetchError", "varnishadm backend.list -p", "varnishlog -g raw -i Backend_health"),
    references=("https://varnish-cache.org/docs/trunk/users-guide/troubleshooting.html",),
)  # fmt: skip
