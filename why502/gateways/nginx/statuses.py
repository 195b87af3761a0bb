"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first.

Source: nginx src/http/ngx_http_upstream.c ngx_http_upstream_next and ngx_http_request.h.
"""

from __future__ import annotations

RANK = 0  # among the products, the most widely used first
STATUSES = {
    "000": (
        "the logged status of a request that ended without one, for example when a worker was shut down",
        "proxy-config-not-loaded client-closed-request",
    ),
    "009": (
        "the backend's response did not begin with a status line and was forwarded unchanged; the client may have seen a 200",
        "invalid-response wrong-protocol",
    ),
    "400": (
        "the request is malformed, or the client disconnected while the proxy read its body",
        "client-bad-request request-too-large wrong-protocol",
    ),
    "404": ("PHP-FPM cannot find the script, or the page of an error_page is missing", "fastcgi-script-not-found"),
    "413": ("the body is larger than client_max_body_size (1 MiB)", "request-too-large"),
    "414": ("the request line does not fit in large_client_header_buffers", "request-too-large"),
    "444": ("`return 444`", "denied-by-rule"),
    "494": ("sent as 400", "request-too-large"),
    "495": ("sent as 400", "client-bad-request"),
    "496": ("sent as 400", "client-bad-request"),
    "497": ("sent as 400", "client-protocol-incompatible client-bad-request"),
    "499": (
        "no client received it: the client, or a load balancer in front, gave up before the response",
        "client-closed-request backend-too-slow proxy-timeout-too-short",
    ),
    "500": (
        "nginx ran out of connections or file descriptors, a target with a variable is unusable, a temporary file cannot be written, or rewrites form a loop",
        "worker-connections-exhausted too-many-open-files proxy-temp-unwritable disk-full proxy-target-invalid rewrite-cycle auth-service-failed proxy-bind-failed",
    ),
    "502": (
        "the connection failed, was interrupted before the header, or the header was unusable; a name or TLS failed; no server was left. nginx's own timeouts are 504",
        "backend-not-running premature-close connection-reset response-header-too-big unix-socket-missing unix-socket-permission invalid-response all-upstreams-down dns-host-not-found tls-handshake-failed tls-verify-failed wrong-protocol selinux-denied connect-timeout",
    ),
    "503": (
        "limit_req, limit_conn or `return 503`; never for a failed backend",
        "rate-limited maintenance-response upstream-error-status",
    ),
    "504": (
        "one of nginx's own timeouts expired: connect, TLS, send or read (60 s each)",
        "backend-too-slow connect-timeout backend-hung workers-exhausted proxy-timeout-too-short cpu-saturation io-saturation",
    ),
}
TITLES = {  # of statuses that no other product has
    "009": "HTTP/0.9, in nginx's log only",
    "444": "closed without an answer",
    "494": "header too large, in nginx's log",
    "495": "bad client certificate, in nginx's log",
    "496": "no client certificate, in nginx's log",
    "497": "plain HTTP to a TLS port, in nginx's log",
}
NO_FAILURES = frozenset({"444", "494", "495", "496", "497"})  # of these: the request never reached a backend
