"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 3  # among the products, the most widely used first
STATUSES = {
    "000": ("an HTTP/2 client broke the protocol's limits", "client-closed-request client-bad-request"),
    "460": ("the client closed before the idle timeout", "client-closed-request backend-too-slow"),
    "463": ("more than 30 addresses", "client-bad-request"),
    "464": ("the request's protocol does not match the target group's", "client-protocol-incompatible wrong-protocol"),
    "502": (
        "refused, reset or malformed; a Classic ELB returns 504 for a reset",
        "backend-not-running keepalive-race premature-close invalid-response function-target-error tls-handshake-failed",
    ),
    "503": (
        "no target is registered; a Classic ELB: none is healthy, or its queue is full",
        "no-upstream-members all-upstreams-down",
    ),
    "504": (
        "connect timeout (10 s) or idle timeout (60 s); on a Classic ELB also a closed connection",
        "backend-too-slow connect-timeout keepalive-race",
    ),
    "561": ("the identity provider returned an error", "auth-service-failed"),
}
TITLES = {  # of statuses that no other product has
    "460": "the client disconnected; appears in the AWS log only",
    "463": "too many addresses in X-Forwarded-For",
    "464": "protocol mismatch",
    "561": "authentication failed",
}
NO_FAILURES = frozenset({"463"})  # of these: the request never reached a backend
