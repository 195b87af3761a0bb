"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 7  # among the products, the most widely used first
STATUSES = {
    "404": ("no route matches", "route-not-found"),
    "499": ("sent although the client has disconnected", "client-closed-request backend-too-slow"),
    "500": (
        "every error that is not a network error: certificates, malformed responses",
        "tls-verify-failed invalid-response wrong-protocol",
    ),
    "502": ("every network failure", "backend-not-running premature-close connect-timeout dns-host-not-found wrong-protocol"),
    "503": ("every backend is marked unhealthy", "all-upstreams-down no-upstream-members circuit-breaker-open"),
    "504": ("the connection or the response took too long", "connect-timeout container-network-mismatch backend-too-slow"),
}
