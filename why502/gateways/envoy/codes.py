"""Envoy and gateways built on it (Istio, Contour, Emissary, Envoy Gateway, App Mesh, Consul):
response flags and response code details.

Source: docs/root/configuration/observability/access_log/usage.rst and
docs/root/configuration/http/http_conn_man/response_code_details.rst
"""

from __future__ import annotations

from why502.gateways.codes import Code, Product, code, table
from why502.model.logs import Symptom
from why502.model.patterns import lazy

_SEVERAL = lazy(r"[A-Z]{2,6}(?:,[A-Z]{2,6})+")
_DETAIL = lazy(r"[a-z][a-z0-9]{2,20}[_.][a-z0-9_.]{3,80}(?:[\[{(][^\n]*)?")  # with its addition in brackets

_FLAGS = table(
    code("UH", "the cluster has no healthy host: none exists, or all were ejected", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members health-check-misconfigured", "503"),
    code("UF", "the connection or the TLS handshake failed; see the transport failure reason", Symptom.CONNECT_FAILED, "backend-not-running connect-timeout wrong-port wrong-protocol tls-handshake-failed tls-verify-failed wrong-address", "503"),
    code("UC", "the backend closed the connection before the response header", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race connection-reset backend-crashed wrong-protocol deploy-termination-race", "503"),
    code("UR", "the backend reset the stream", Symptom.RESET_BEFORE_HEADER, "connection-reset http2-stream-refused backend-crashed", "503"),
    code("LR", "Envoy reset the stream", Symptom.PROXY_INTERNAL, "proxy-config-not-loaded", "503"),
    code("UT", "the route's timeout expired (15 s by default, none in Istio)", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung proxy-timeout-too-short workers-exhausted", "504"),
    code("URX", "all retries or connection attempts are used up; another flag gives the reason", Symptom.CONNECT_FAILED, "backend-not-running premature-close", "503"),
    code("UO", "a circuit breaker is open: a limit on connections or requests is reached", Symptom.PEER_LIMIT, "upstream-connection-limit circuit-breaker-open workers-exhausted", "503"),
    code("NR", "no route matches (or, on a connection, no filter chain)", Symptom.ROUTE_MISSING, "route-not-found proxy-config-invalid", "404"),
    code("NC", "the route names a cluster that does not exist", Symptom.ROUTE_TARGET_MISSING, "route-target-missing proxy-config-invalid", "503"),
    code("DC", "the client, or a gateway in front, disconnected", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow", "0"),
    code("DR", "the client reset the stream", Symptom.CLIENT_CLOSED, "client-closed-request", "0"),
    code("DPE", "the client violated the protocol", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
    code("UPE", "the response is not valid HTTP", Symptom.HEADER_INVALID, "invalid-response wrong-protocol response-header-too-big", "502"),
    code("LH", "Envoy's own health check filter failed", Symptom.OWN_STATUS, "maintenance-response", "503"),
    code("FI", "a fault was injected on purpose", Symptom.OWN_STATUS, "maintenance-response", "as configured"),
    code("DI", "a delay was injected on purpose", None, "maintenance-response", failure=False),
    code("RL", "the rate limit rejected the request", Symptom.RATE_LIMITED, "rate-limited", "429"),
    code("RLSE", "the rate limit service failed", Symptom.AUTH_FAILED, "auth-service-failed", "500"),
    code("UAEX", "the external authorisation denied or failed", Symptom.AUTH_FAILED, "auth-service-failed denied-by-rule", "403"),
    code("IH", "a header for Envoy has an invalid value", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
    code("SI", "the stream was idle for too long (5 min by default)", Symptom.READ_TIMED_OUT, "backend-too-slow client-closed-request", "408 or 504"),
    code("DT", "the request or the connection lasted longer than allowed", Symptom.READ_TIMED_OUT, "proxy-timeout-too-short backend-too-slow"),
    code("UMSDR", "max_stream_duration of the route expired", Symptom.READ_TIMED_OUT, "proxy-timeout-too-short backend-too-slow", "504 or 408"),
    code("OM", "the overload manager rejected the request because memory is short", Symptom.MEMORY_EXHAUSTED, "memory-pressure", "503"),
    code("DO", "dropped by policy", Symptom.OWN_STATUS, "maintenance-response", "503"),
    code("UDO", "dropped by policy", Symptom.OWN_STATUS, "maintenance-response", "503"),
    code("DF", "the name of the target did not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found dns-resolver-failure", "503"),
    code("NFCF", "the configuration of a filter has not arrived", Symptom.PROXY_INTERNAL, "proxy-config-not-loaded", "500"),
    code("RFCF", "answered from the cache", None, "", failure=False),
)  # fmt: skip

_LONG = {  # %RESPONSE_FLAGS_LONG%
    "NoHealthyUpstream": "UH",
    "UpstreamConnectionFailure": "UF",
    "UpstreamConnectionTermination": "UC",
    "UpstreamRemoteReset": "UR",
    "LocalReset": "LR",
    "UpstreamRequestTimeout": "UT",
    "UpstreamRetryLimitExceeded": "URX",
    "UpstreamOverflow": "UO",
    "NoRouteFound": "NR",
    "NoClusterFound": "NC",
    "DownstreamConnectionTermination": "DC",
    "DownstreamRemoteReset": "DR",
    "DownstreamProtocolError": "DPE",
    "UpstreamProtocolError": "UPE",
    "FailedLocalHealthCheck": "LH",
    "FaultInjected": "FI",
    "DelayInjected": "DI",
    "RateLimited": "RL",
    "RateLimitServiceError": "RLSE",
    "UnauthorizedExternalService": "UAEX",
    "InvalidEnvoyRequestHeaders": "IH",
    "StreamIdleTimeout": "SI",
    "DurationTimeout": "DT",
    "UpstreamMaxStreamDurationReached": "UMSDR",
    "OverloadManagerTerminated": "OM",
    "DropOverload": "DO",
    "UnconditionalDropOverload": "UDO",
    "DnsResolutionFailed": "DF",
    "NoFilterConfigFound": "NFCF",
    "ResponseFromCacheFilter": "RFCF",
}

DETAILS = (  # prefixes of RESPONSE_CODE_DETAILS that are more specific than the flag, most specific first
    code("via_upstream", "the backend itself sent that status", Symptom.UPSTREAM_STATUS, "upstream-error-status"),
    code("no_healthy_upstream", "the cluster has no healthy host", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members health-check-misconfigured"),
    code("cluster_not_found", "the route names a cluster that does not exist", Symptom.ROUTE_TARGET_MISSING, "route-target-missing"),
    code("request_rate_limited", "the rate limit service rejected the request", Symptom.RATE_LIMITED, "rate-limited", "429"),
    code("local_rate_limited", "the local rate limit filter rejected the request", Symptom.RATE_LIMITED, "rate-limited", "429"),
    code("route_not_found", "no route matches", Symptom.ROUTE_MISSING, "route-not-found"),
    code("maintenance_mode", "the cluster is in maintenance mode", Symptom.OWN_STATUS, "maintenance-response"),
    code("direct_response", "Envoy is configured to return this response itself", Symptom.OWN_STATUS, "maintenance-response"),
    code("fault_filter_abort", "a fault was injected on purpose", Symptom.OWN_STATUS, "maintenance-response"),
    code("response_timeout", "the route's timeout expired", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung proxy-timeout-too-short"),
    code("upstream_response_timeout", "the route's timeout expired", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung proxy-timeout-too-short"),
    code("upstream_per_try_timeout", "the timeout of one attempt expired", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung proxy-timeout-too-short"),
    code("upstream_per_try_idle_timeout", "an attempt was idle for too long", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung"),
    code("request_overall_timeout", "the client did not send its request in time", Symptom.CLIENT_TIMED_OUT, "client-timeout client-closed-request"),
    code("request_header_timeout", "the client did not send its request in time", Symptom.CLIENT_TIMED_OUT, "client-timeout client-closed-request"),
    code("stream_idle_timeout", "the stream was idle for too long", Symptom.READ_TIMED_OUT, "backend-too-slow client-closed-request"),
    code("upstream_max_stream_duration_reached", "max_stream_duration expired", Symptom.READ_TIMED_OUT, "proxy-timeout-too-short backend-too-slow"),
    code("max_duration_timeout", "max_stream_duration expired", Symptom.READ_TIMED_OUT, "proxy-timeout-too-short backend-too-slow"),
    code("overload", "the overload manager rejected the request", Symptom.MEMORY_EXHAUSTED, "memory-pressure"),
    code("downstream_remote_disconnect", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow"),
    code("downstream_local_disconnect(filter_chain_is_being_removed)", "the listener was changed while the request was running", Symptom.PROXY_RELOADED, "deploy-termination-race"),
    code("response_payload_too_large", "the response is larger than the buffer", Symptom.HEADER_INVALID, "invalid-response"),
    code("request_payload_too_large", "the request body is larger than allowed", Symptom.REQUEST_TOO_LARGE, "request-too-large"),
    code("request_headers_too_large", "the request header is larger than allowed", Symptom.REQUEST_TOO_LARGE, "request-too-large"),
    code("upstream_reset_before_response_started{remote_connection_failure", "the connection failed", Symptom.CONNECT_REFUSED, "backend-not-running wrong-port connect-rejected tls-handshake-failed"),
    code("upstream_reset_before_response_started{connection_failure", "the connection failed", Symptom.CONNECT_REFUSED, "backend-not-running wrong-port connect-rejected tls-handshake-failed"),
    code("upstream_reset_before_response_started{local_connection_failure", "the connection failed in Envoy itself", Symptom.CONNECT_FAILED, "connect-timeout ephemeral-ports-exhausted"),
    code("upstream_reset_before_response_started{connection_timeout", "no answer to the connection attempt", Symptom.CONNECT_TIMED_OUT, "connect-timeout listen-backlog-overflow"),
    code("upstream_reset_before_response_started{connection_termination", "the backend closed the connection", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race wrong-protocol deploy-termination-race"),
    code("upstream_reset_before_response_started{remote_refused_stream_reset", "the backend refused the stream", Symptom.STREAM_RESET, "http2-stream-refused"),
    code("upstream_reset_before_response_started{remote_reset", "the backend reset the stream", Symptom.RESET_BEFORE_HEADER, "connection-reset http2-stream-refused"),
    code("upstream_reset_before_response_started{overflow", "a circuit breaker is open", Symptom.PEER_LIMIT, "upstream-connection-limit circuit-breaker-open"),
    code("upstream_reset_before_response_started{protocol_error", "the response is not valid HTTP", Symptom.HEADER_INVALID, "invalid-response wrong-protocol"),
    code("upstream_reset_after_response_started", "the response was truncated", Symptom.CLOSED_IN_BODY, "truncated-response"),
    code("http1.headers_too_large", "a header is larger than allowed", Symptom.HEADER_TOO_BIG, "response-header-too-big request-too-large"),
    code("http1.", "the data is not valid HTTP/1", Symptom.HEADER_INVALID, "invalid-response wrong-protocol"),
    code("http2.", "the data is not valid HTTP/2", Symptom.HEADER_INVALID, "invalid-response wrong-protocol"),
    code("ext_authz_error", "the external authorisation failed", Symptom.AUTH_FAILED, "auth-service-failed"),
    code("ext_authz_denied", "the external authorisation denied", Symptom.AUTH_FAILED, "auth-service-failed denied-by-rule"),
    code("rbac_access_denied", "a policy denied the request", Symptom.DENIED_BY_RULE, "denied-by-rule", failure=False),
    code("filter_chain_not_found", "no filter chain matches the connection: plain text where mutual TLS is required, or a different server name", Symptom.TLS_NOT_TLS, "wrong-protocol"),
    code("dns_resolution_failure", "the name of the target did not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found dns-resolver-failure"),
)  # fmt: skip

PRODUCT = Product(
    name="envoy",
    title="Envoy, Istio and other gateways built on Envoy",
    also=("istio",),
    formats=("envoy",),
    about=(
        "Look at the response flags and the response code details. Then look at the upstream host field. `-`: no host "
        "was selected (NR, NC, UH). An address with UF: the connection failed. An address with UC, UR or UPE: "
        "connected, then interrupted. An address without a flag: that host sent the response. In a mesh both ends "
        "write a log line. UC at the caller together with `NR filter_chain_not_found` at the server means plain text "
        "where mutual TLS is required."
    ),
    codes={**_FLAGS, **{detail.code: detail for detail in DETAILS}},
    aliases=_LONG,
    next=(
        "istioctl proxy-status; istioctl proxy-config clusters|endpoints|routes POD",
        "kubectl get pods,services,endpointslices",
        "curl -s localhost:15000/clusters (9901 without Istio): health_flags, cx_connect_fail",
        "kubectl logs POD -c istio-proxy on both ends",
    ),
    references=("https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage",),
)


def composed(text: str) -> list[Code]:
    """Return the rows of several flags, the one that only says how often it was tried last; or of a detail with its addition."""
    if _SEVERAL.fullmatch(text):
        rows = [PRODUCT.codes[flag] for flag in text.split(",") if flag in PRODUCT.codes]
        return sorted(rows, key=lambda row: row.code == "URX")
    if _DETAIL.fullmatch(text) is None:
        return []
    return [row for key, row in PRODUCT.codes.items() if ("_" in key or "." in key) and text.startswith(key)][:1]
