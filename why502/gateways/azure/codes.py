"""Azure Application Gateway and Front Door: error_info."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

PRODUCT = Product(
    name="azure",
    title="Azure Application Gateway and Front Door",
    formats=("cloud_balancers",),
    about=(
        "The access log has httpStatus, serverStatus, timeTaken, serverRouted and error_info. A 502 without any of "
        "these means that a network security group, a route or DNS blocks the backend, that the probe's path is "
        "wrong, or that the pool is empty. Front Door returns 503 with OriginInvalidResponse and 504 with "
        "OriginTimeout."
    ),
    codes=table(
        code("ERRORINFO_UPSTREAM_NO_LIVE", "no healthy member in the pool", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members health-check-misconfigured", "502"),
        code("ERRORINFO_UPSTREAM_CLOSED_CONNECTION", "the backend closed the connection before it answered", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race", "502"),
        code("ERRORINFO_UPSTREAM_TIMED_OUT", "the backend did not answer in time", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung", "502 on v1, 504 on v2"),
        code("ERRORINFO_CLIENT_CLOSED_REQUEST", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow", "499, 0 on v1"),
        code("ERRORINFO_CLIENT_TIMED_OUT", "the client was idle for too long", Symptom.CLIENT_TIMED_OUT, "client-timeout client-closed-request", "", failure=False),
        code("ERRORINFO_HTTP_TO_HTTPS_PORT", "plain HTTP to the TLS port", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("ERRORINFO_HTTPS_NO_CERT", "the client sent no certificate", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("ERRORINFO_REQUEST_URI_INVALID", "the request's URI is invalid", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("ERRORINFO_HTTP_NO_HOST_HEADER", "the request has no Host header", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("ERRORINFO_INVALID_HEADER", "a header of the request is invalid", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("ERRORINFO_NO_ERROR", "not an error of the gateway: the backend itself returned the 5xx", Symptom.UPSTREAM_STATUS, "upstream-error-status"),
        code("OriginInvalidResponse", "the origin's answer is not usable", Symptom.HEADER_INVALID, "invalid-response tls-handshake-failed", "503"),
        code("OriginTimeout", "the origin did not answer in time", Symptom.READ_TIMED_OUT, "backend-too-slow connect-timeout", "504"),
        code("OriginConnectionRefused", "the origin refuses the connection", Symptom.CONNECT_REFUSED, "backend-not-running connect-rejected", "503"),
        code("OriginConnectionAborted", "the origin closed the connection", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race", "503"),
        code("DNSNameNotResolved", "the origin's name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "503"),
        code("DNSFailure", "the origin's name does not resolve", Symptom.NAME_SERVER_FAILED, "dns-resolver-failure dns-host-not-found", "503"),
        code("SSLHandshakeError", "the TLS handshake with the origin failed", Symptom.TLS_FAILED, "tls-handshake-failed tls-verify-failed", "502 or 503"),
        code("SSLInvalidRootCA", "verification of the origin's certificate failed", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "502 or 503"),
        code("SSLMismatchedSNI", "the origin's certificate is for another name", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "502 or 503"),
    ),
    next=("az network application-gateway show-backend-health -g GROUP -n NAME", "the network security group and route table of the backend's subnet"),
    references=("https://learn.microsoft.com/azure/application-gateway/application-gateway-troubleshooting-502",),
)  # fmt: skip
