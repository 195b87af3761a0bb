"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 10  # among the products, the most widely used first
STATUSES = {
    "502": ("every error of the classic load balancer", "all-upstreams-down backend-too-slow keepalive-race backend-not-running"),
}
