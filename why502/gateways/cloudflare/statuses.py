"""HTTP statuses that it returns itself, or writes to its log: when, and for which causes, the most common first."""

from __future__ import annotations

RANK = 12  # among the products, the most widely used first
STATUSES = {
    "502": (
        "a page in Cloudflare's design was sent by the origin; a plain page comes from Cloudflare itself",
        "upstream-error-status gateway-provider-fault",
    ),
    "504": ("the origin sent it", "upstream-error-status backend-too-slow"),
    "520": (
        "empty, unknown or unexpected response: a crash, a reset, headers too large",
        "invalid-response premature-close connection-reset backend-crashed response-header-too-big keepalive-race",
    ),
    "521": ("nothing listens, or a firewall rejects its addresses", "backend-not-running connect-rejected wrong-port"),
    "522": (
        "no answer to the SYN within 19 s, or the request was not acknowledged",
        "connect-timeout connect-rejected listen-backlog-overflow stale-dns cdn-setting",
    ),
    "523": ("no route to the origin's address", "host-unreachable stale-dns dns-host-not-found"),
    "524": (
        "connected, but no response within 100 to 125 s",
        "backend-too-slow proxy-timeout-too-short backend-hung workers-exhausted",
    ),
    "525": ("no certificate, no common cipher, or port 443 does not speak TLS", "tls-handshake-failed wrong-protocol"),
    "526": ("Full (strict): expired, self-signed, wrong name", "tls-verify-failed"),
    "527": ("Railgun, withdrawn", "tunnel-disconnected"),
    "530": (
        "1016: the origin's name does not resolve; 1033: the tunnel is not connected",
        "dns-host-not-found tunnel-disconnected",
    ),
}
TITLES = {  # of statuses that no other product has
    "520": "an unusable response from the origin",
    "521": "the origin refuses the connection",
    "522": "no connection to the origin",
    "523": "the origin is unreachable",
    "524": "the origin responds too late",
    "525": "the TLS handshake with the origin failed",
    "526": "the origin's certificate is invalid",
    "527": "the tunnel to the origin failed",
    "530": "an error with a four-digit code",
}
