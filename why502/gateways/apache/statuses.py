"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 1  # among the products, the most widely used first
STATUSES = {
    "500": (
        "TLS with the backend failed, a name did not resolve (2.4.59), a module is missing, script headers are malformed",
        "tls-handshake-failed tls-verify-failed dns-host-not-found proxy-module-missing invalid-response",
    ),
    "502": (
        "no response or a broken one, also after a timeout (mod_proxy_http); a failed connection is 503",
        "premature-close backend-too-slow connection-reset invalid-response response-header-too-big",
    ),
    "503": (
        "the connection to the backend failed, or no member is left",
        "backend-not-running all-upstreams-down unix-socket-missing unix-socket-permission connect-timeout upstream-connection-limit",
    ),
    "504": ("mod_proxy_fcgi only, 2.4.26 and later", "backend-too-slow backend-hung workers-exhausted"),
}
