"""Caddy 2 has no codes; the message of http.log.error is Go's error text (logs/go_errors.py)."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="caddy",
    title="Caddy",
    formats=("caddy",),
    about=(
        "Nearly every failure is a 502. 503 means `no upstreams available`, 504 only `timeout awaiting response "
        "headers`, and 499 (0 up to 2.6) that the client disconnected. There is no read timeout by default: a hung "
        "backend appears as clients that disconnect, never as a 504. A request that no site takes gets an empty 200, and an "
        "access line with the message NOP and status 0. The error line in http.log.error and the access line of the same "
        "request have the same time but no common id."
    ),
    next=(
        "caddy validate --config /etc/caddy/Caddyfile",
        "curl -s localhost:2019/config/",
        "curl -s localhost:2019/reverse_proxy/upstreams",
        "journalctl -u caddy -o cat | grep '\"status\":50'",
    ),
    references=("https://caddyserver.com/docs/caddyfile/directives/reverse_proxy",),
)  # fmt: skip
