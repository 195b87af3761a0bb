"""Fastly: the reason in the status text of its own 503."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

PRODUCT = Product(
    name="fastly",
    title="Fastly",
    about="Fastly returns its own errors as 503. The reason is the status text (obj.response, fastly_info.state, and `Error 503` on the page).",
    codes=table(
        code("backend read error", "the origin closed the connection before it answered", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race", "503"),
        code("backend write error", "the request could not be sent", Symptom.SEND_FAILED, "connection-reset", "503"),
        code("first byte timeout", "the origin did not answer in time (15 s by default)", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung", "503"),
        code("between bytes timeout", "the origin stalled in the body (10 s by default)", Symptom.BODY_TIMED_OUT, "truncated-response backend-too-slow", "503"),
        code("connection refused", "the origin refuses the connection", Symptom.CONNECT_REFUSED, "backend-not-running connect-rejected", "503"),
        code("connection timed out", "no answer to the connection attempt (1 s by default)", Symptom.CONNECT_TIMED_OUT, "connect-timeout", "503"),
        code("network unreachable", "no route to the origin", Symptom.HOST_UNREACHABLE, "host-unreachable", "503"),
        code("all backends failed or unhealthy", "no healthy origin", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "503"),
        code("no healthy backends", "no healthy origin", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "503"),
        code("backend unhealthy", "the origin's health check fails", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "503"),
        code("backend.max_conn reached", "the limit of connections to the origin is reached", Symptom.PEER_LIMIT, "upstream-connection-limit", "503"),
        code("certificate has expired", "the origin's certificate has expired", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "503"),
        code("hostname doesn't match against certificate", "the origin's certificate is for another name", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "503"),
        code("unable to get local issuer certificate", "verification of the origin's certificate failed", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "503"),
        code("ssl handshake error", "the TLS handshake with the origin failed", Symptom.TLS_FAILED, "tls-handshake-failed", "503"),
        code("wrong version number", "the origin does not speak TLS on that port", Symptom.TLS_NOT_TLS, "wrong-protocol", "503"),
    ),
    next=("curl -I -H 'Fastly-Debug: 1' URL", "the origin's own log at that second"),
    references=("https://www.fastly.com/documentation/guides/concepts/errors/",),
)  # fmt: skip
