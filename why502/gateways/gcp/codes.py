"""Google Cloud HTTP(S) load balancing: jsonPayload.statusDetails."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

PRODUCT = Product(
    name="gcp",
    title="Google Cloud load balancing",
    formats=("cloud_balancers",),
    about=(
        "Cloud Logging has statusDetails (and proxyStatus in newer entries). The classic load balancer returns 502 for "
        "all errors of its own, the global external one 503 and 504. The keepalive timeout to the backend is 600 s and "
        "cannot be changed. The application server's must be longer (620 s), or requests are lost. Health checks come "
        "from 35.191.0.0/16 and 130.211.0.0/22."
    ),
    codes=table(
        code("response_sent_by_backend", "the backend itself sent that status", Symptom.UPSTREAM_STATUS, "upstream-error-status"),
        code("failed_to_pick_backend", "no healthy backend", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "502 or 503"),
        code("failed_to_connect_to_backend", "the backend refuses the connection", Symptom.CONNECT_REFUSED, "backend-not-running connect-rejected wrong-port", "502 or 503"),
        code("backend_timeout", "the timeout of the backend service expired (30 s by default)", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short", "502 or 504"),
        code("backend_connection_closed_before_data_sent_to_client", "the backend closed the connection before it answered", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race", "502"),
        code("backend_connection_closed_after_partial_response_sent", "the response was truncated", Symptom.CLOSED_IN_BODY, "truncated-response", "as sent"),
        code("backend_early_response_with_non_error_status", "the backend answered before it had read the whole request", Symptom.HEADER_INVALID, "invalid-response", "502"),
        code("backend_response_corrupted", "the response is malformed", Symptom.BODY_INVALID, "invalid-response", "502"),
        code("client_disconnected_before_any_response", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow", "0"),
        code("client_disconnected_after_partial_response", "the client disconnected", None, "client-closed-request", "as sent", failure=False),
        code("client_timed_out", "the client was too slow", Symptom.CLIENT_TIMED_OUT, "client-timeout", "408", failure=False),
        code("handled_by_identity_aware_proxy", "the identity-aware proxy answered", Symptom.AUTH_FAILED, "auth-service-failed"),
        code("denied_by_security_policy", "a security policy denied the request", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("internal_error", "an internal error of the load balancer", Symptom.PROVIDER_FAULT, "gateway-provider-fault", "500"),
        code("ssl_certificate_san_verification_failed", "verification of the backend's certificate failed", Symptom.TLS_UNVERIFIED, "tls-verify-failed", "502"),
    ),
    next=(
        "gcloud compute backend-services get-health NAME",
        "firewall rule for 35.191.0.0/16 and 130.211.0.0/22 to the backend's port",
        "gcloud compute backend-services describe NAME (timeoutSec, portName)",
    ),
    references=("https://cloud.google.com/load-balancing/docs/https/troubleshooting-ext-https-lbs",),
)  # fmt: skip
