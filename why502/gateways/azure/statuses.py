"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 11  # among the products, the most widely used first
STATUSES = {
    "502": (
        "no healthy member, or the network security group blocks the backend",
        "all-upstreams-down connect-timeout health-check-misconfigured",
    ),
}
