"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 9  # among the products, the most widely used first
STATUSES = {
    "503": ("every failed fetch; the reason is the status text", "all-upstreams-down premature-close backend-too-slow"),
}
