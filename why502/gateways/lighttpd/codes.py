"""lighttpd has no codes; its error log has a sentence for each failure (logs.py)."""

from __future__ import annotations

from why502.gateways.codes import Product

PRODUCT = Product(
    name="lighttpd",
    title="lighttpd",
    formats=("lighttpd",),
    about=(
        "A refused connection, or one that is not answered, is a 503. lighttpd then skips that server for two seconds. Unless "
        "another server is available, requests in that time get 503 without a line of their own (`all handlers for … are down`). "
        "A response that comes too late is a 504 (`read timeout`). One that is not HTTP, or whose header is larger than 64 KiB, "
        "is a 502. A connection closed before the response is a 500 without a line; one that is reset is a 500 with `response not "
        "received`. Measured with lighttpd 1.4.69."
    ),
    next=("lighttpd -tt -f /etc/lighttpd/lighttpd.conf", "tail /var/log/lighttpd/error.log", "curl http://127.0.0.1/server-statistics"),
    references=(
        "https://redmine.lighttpd.net/projects/lighttpd/wiki/Mod_proxy",
        "https://redmine.lighttpd.net/projects/lighttpd/wiki/Mod_fastcgi",
    ),
)  # fmt: skip
