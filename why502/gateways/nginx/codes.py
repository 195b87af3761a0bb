"""nginx has no codes of its own except its log statuses; its error messages are in gateways/nginx/logs/messages.py."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="nginx",
    title="nginx, OpenResty, ingress-nginx",
    also=("ingress-nginx", "openresty"),
    formats=("nginx_error", "nginx_access", "ingress_nginx"),
    about=(
        "Read the error log first: each message names the phase (`while connecting to upstream`), the errno and the "
        "address. nginx returns 504 for its timeouts, 502 for all other backend failures, 500 if it lacks a resource, "
        "and 503 for its limits. 499, 009 and 000 exist in the access log only. A 502 within ten seconds after a 504 "
        "is often `no live upstreams`: the servers of the group are marked as failed. The `stream` module has no 504."
    ),
    next=(
        "tail -n 50 /var/log/nginx/error.log",
        "nginx -T",
        "why502 diagnose",
    ),
    references=("https://nginx.org/en/docs/http/ngx_http_proxy_module.html", "https://nginx.org/en/docs/http/ngx_http_upstream_module.html"),
)  # fmt: skip
