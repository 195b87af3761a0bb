"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 8  # among the products, the most widely used first
STATUSES = {
    "503": ("the Service has no ready endpoints", "no-upstream-members route-not-found"),
}
