"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 4  # among the products, the most widely used first
STATUSES = {
    "404": ("no route matches", "route-not-found"),
    "502": ("UPE: the response is not valid HTTP; everything else is 503", "invalid-response wrong-protocol"),
    "503": (
        "UH, UF, UC, UO, NC: no host, failed connection, interrupted connection, circuit breaker, no cluster",
        "backend-not-running all-upstreams-down premature-close upstream-connection-limit route-target-missing",
    ),
    "504": ("UT: the route's timeout (15 s), SI", "backend-too-slow backend-hung proxy-timeout-too-short"),
}
