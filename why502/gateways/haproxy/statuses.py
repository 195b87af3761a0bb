"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 2  # among the products, the most widely used first
STATUSES = {
    "400": ("the request is malformed (PR), or the client disconnected (CR, CH)", "client-bad-request client-closed-request"),
    "502": (
        "SH, PH: the connection was interrupted, or the proxy rejected the response; a failed connection is 503",
        "premature-close invalid-response response-header-too-big keepalive-race",
    ),
    "503": (
        "SC, sC, sQ: refused, no answer, queue timeout, or no server left",
        "backend-not-running all-upstreams-down connect-timeout upstream-connection-limit",
    ),
    "504": ("sH: timeout server", "backend-too-slow backend-hung workers-exhausted proxy-timeout-too-short"),
}
