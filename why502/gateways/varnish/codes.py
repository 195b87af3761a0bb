"""Varnish has no codes; the FetchError record of varnishlog tells why a fetch failed (logs/formats/varnish.py)."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="varnish",
    title="Varnish",
    formats=("varnish",),
    about=(
        "Its only own error is a 503 `Backend fetch failed`. The reason exists in shared memory only, as FetchError. A backend that closes and one"
        " that resets look alike (`HTC eof`). A race on a reused connection it repeats by itself."
    ),
    next=("varnishlog -g request -q FetchError", "varnishadm backend.list -p", "varnishlog -g raw -i Backend_health"),
    references=("https://varnish-cache.org/docs/trunk/users-guide/troubleshooting.html",),
)  # fmt: skip
