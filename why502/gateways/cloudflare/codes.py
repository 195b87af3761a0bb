"""Cloudflare: the statuses 520 to 530 and the four-digit codes of its error pages."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

PRODUCT = Product(
    name="cloudflare",
    title="Cloudflare",
    formats=("cloudflare",),
    about=(
        "Most sites have no log from Cloudflare. The evidence is the error page (code, Ray ID, and which of browser, "
        "Cloudflare and host is red) and the origin's own access log. For 521, 522, 523, 525 and 526 the origin logs "
        "no request. If the origin logs 200 but the client gets 520, the response was truncated or its header was too "
        "large. A 502 or 504 page in Cloudflare's design was sent by the origin; a plain one comes from Cloudflare "
        "itself."
    ),
    codes=table(
        code("520", "the origin's response was empty, unknown or unexpected", Symptom.HEADER_INVALID, "invalid-response premature-close connection-reset backend-crashed response-header-too-big keepalive-race", "520"),
        code("521", "the origin refuses the connection", Symptom.CONNECT_REFUSED, "backend-not-running connect-rejected wrong-port", "521"),
        code("522", "the origin does not answer the connection attempt, or does not acknowledge the request", Symptom.CONNECT_TIMED_OUT, "connect-timeout connect-rejected listen-backlog-overflow stale-dns cdn-setting", "522"),
        code("523", "no route to the origin", Symptom.HOST_UNREACHABLE, "host-unreachable stale-dns dns-host-not-found", "523"),
        code("524", "the connection was established, but no response came within 100 s (newer: 120 s)", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short backend-hung workers-exhausted", "524"),
        code("525", "the TLS handshake with the origin failed", Symptom.TLS_FAILED, "tls-handshake-failed wrong-protocol", "525"),
        code("526", "verification of the origin's certificate failed (Full, strict)", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "526"),
        code("527", "the Railgun listener failed (Railgun is discontinued)", Symptom.TUNNEL_DOWN, "tunnel-disconnected", "527"),
        code("530", "the page shows a four-digit code with the reason", Symptom.NAME_NOT_FOUND, "dns-host-not-found tunnel-disconnected", "530"),
        code("1000", "the DNS record points to a forbidden address", Symptom.CDN_SETTING, "proxy-loop wrong-address cdn-setting", "409"),
        code("1001", "the name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "409"),
        code("1002", "the DNS record points to a forbidden address", Symptom.CDN_SETTING, "wrong-address cdn-setting", "409"),
        code("1006", "the client's address is banned", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("1014", "a CNAME across accounts", Symptom.CDN_SETTING, "cdn-setting", "409"),
        code("1015", "rate limited", Symptom.RATE_LIMITED, "rate-limited", "429"),
        code("1016", "the origin's name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "530"),
        code("1018", "Cloudflare does not know the host (yet)", Symptom.CDN_SETTING, "cdn-setting", "409"),
        code("1019", "a worker calls itself", Symptom.CDN_SETTING, "proxy-loop cdn-setting"),
        code("1020", "denied by a firewall rule", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("1033", "no tunnel agent (cloudflared) is connected", Symptom.TUNNEL_DOWN, "tunnel-disconnected backend-not-running", "530"),
        code("1101", "the worker threw an exception", Symptom.FUNCTION_FAILED, "function-target-error", "500"),
        code("1102", "the worker exceeded its CPU time limit", Symptom.FUNCTION_FAILED, "function-target-error", "503"),
    ),
    next=(
        "curl -v --resolve HOST:443:ORIGIN_IP https://HOST/ (from outside)",
        "the origin's error log at the second of the Ray ID",
        "allow https://www.cloudflare.com/ips in the origin's firewall and fail2ban",
        "openssl s_client -connect ORIGIN:443 -servername HOST",
    ),
    references=("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/",),
)  # fmt: skip
