"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 6  # among the products, the most widely used first
STATUSES = {
    "499": ("since 2.7; 0 before", "client-closed-request backend-too-slow"),
    "502": ("every network failure", "backend-not-running premature-close connect-timeout dns-host-not-found wrong-protocol"),
    "503": ("every backend is marked unhealthy", "all-upstreams-down no-upstream-members circuit-breaker-open"),
    "504": ("response_header_timeout only", "backend-too-slow backend-hung"),
}
