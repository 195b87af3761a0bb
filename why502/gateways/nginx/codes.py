"""nginx has no codes of its own but log statuses; its messages stand in logs/formats/nginx_messages.json."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="nginx",
    title="nginx, OpenResty, ingress-nginx",
    also=("ingress-nginx", "openresty"),
    formats=("nginx_error", "nginx_access", "ingress_nginx"),
    about=(
        "The error log decides: each message names what was done (`while connecting to upstream`), the errno and the address. A timeout of"
        " nginx is 504, everything else that goes wrong with a backend 502, its own shortages 500, its limits 503. 499, 009 and 000 exist in the"
        " access log only. A 502 that follows a 504 within ten seconds is often `no live upstreams`: the group's servers are marked failed."
        " The `stream` module knows no 504."
    ),
    next=(
        "tail -n 50 /var/log/nginx/error.log",
        "nginx -T",
        "why502 diagnose",
    ),
    references=("https://nginx.org/en/docs/http/ngx_http_proxy_module.html", "https://nginx.org/en/docs/http/ngx_http_upstream_module.html"),
)  # fmt: skip
