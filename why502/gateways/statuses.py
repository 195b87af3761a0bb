"""Which gateway returns which HTTP status for which reason.

A status alone does not show the cause: first find out which server returned it.

Sources: nginx src/http/ngx_http_upstream.c ngx_http_upstream_next and ngx_http_request.h; the tables of the other products in
this package.
"""

from __future__ import annotations

from why502.model.base import Value


class Maker(Value, frozen=True, kw_only=True):
    """A gateway that returns the status, `when`, and for which causes, the most common first."""

    proxy: str
    when: str
    causes: tuple[str, ...]


class Status(Value, frozen=True, kw_only=True):
    """A status. `is_failure`: the request to the backend failed, or may have failed."""

    title: str
    makers: tuple[Maker, ...]
    is_failure: bool = True


def _status(title: str, *makers: tuple[str, str, str], failure: bool = True) -> Status:
    return Status(
        title=title,
        makers=tuple(Maker(proxy=proxy, when=when, causes=tuple(causes.split())) for proxy, when, causes in makers),
        is_failure=failure,
    )


_CLIENT = "client-closed-request backend-too-slow"
_LIMIT = "request-too-large"

STATUSES: dict[str, Status] = {
    "000": _status(
        "no status at all",
        ("nginx", "the logged status of a request that ended without one, for example when a worker was shut down", "proxy-config-not-loaded client-closed-request"),
        ("aws-alb", "an HTTP/2 client broke the protocol's limits", "client-closed-request client-bad-request"),
        ("curl", "no response: nothing listens, or the connection was interrupted", "proxy-not-running connect-timeout"),
    ),
    "009": _status(
        "HTTP/0.9, in nginx's log only",
        ("nginx", "the backend's response did not begin with a status line and was forwarded unchanged; the client may have seen a 200", "invalid-response wrong-protocol"),
    ),
    "400": _status(
        "Bad Request",
        ("nginx", "the request is malformed, or the client disconnected while the proxy read its body", "client-bad-request request-too-large wrong-protocol"),
        ("haproxy", "the request is malformed (PR), or the client disconnected (CR, CH)", "client-bad-request client-closed-request"),
        ("any backend", "plain HTTP to a TLS port, or a header that it does not accept", "wrong-protocol wrong-host-header request-header-too-big"),
        failure=False,
    ),
    "403": _status("Forbidden", ("any", "a rule denied the request", "denied-by-rule ajp-secret-mismatch auth-service-failed"), failure=False),
    "404": _status(
        "Not Found",
        ("envoy, traefik", "no route matches", "route-not-found"),
        ("nginx", "PHP-FPM cannot find the script, or the page of an error_page is missing", "fastcgi-script-not-found"),
        failure=False,
    ),
    "408": _status("Request Timeout", ("any", "the client sent its request too slowly", "client-timeout"), failure=False),
    "413": _status("Content Too Large", ("nginx", "the body is larger than client_max_body_size (1 MiB)", _LIMIT), failure=False),
    "414": _status("URI Too Long", ("nginx", "the request line does not fit in large_client_header_buffers", _LIMIT), failure=False),
    "421": _status("Misdirected Request", ("any backend", "the Host header does not match the server name of the connection", "wrong-host-header"), failure=False),
    "426": _status("Upgrade Required", ("any backend", "Upgrade and Connection were not forwarded", "websocket-upgrade-missing wrong-protocol")),
    "429": _status("Too Many Requests", ("any", "a limit of the proxy or of the backend", "rate-limited")),
    "431": _status("Request Header Fields Too Large", ("any", "a header is larger than allowed", "request-too-large request-header-too-big"), failure=False),
    "444": _status("closed without an answer", ("nginx", "`return 444`", "denied-by-rule"), failure=False),
    "460": _status("the client disconnected; appears in the AWS log only", ("aws-alb", "the client closed before the idle timeout", _CLIENT)),
    "463": _status("too many addresses in X-Forwarded-For", ("aws-alb", "more than 30 addresses", "client-bad-request"), failure=False),
    "464": _status("protocol mismatch", ("aws-alb", "the request's protocol does not match the target group's", "client-protocol-incompatible wrong-protocol")),
    "494": _status("header too large, in nginx's log", ("nginx", "sent as 400", _LIMIT), failure=False),
    "495": _status("bad client certificate, in nginx's log", ("nginx", "sent as 400", "client-bad-request"), failure=False),
    "496": _status("no client certificate, in nginx's log", ("nginx", "sent as 400", "client-bad-request"), failure=False),
    "497": _status("plain HTTP to a TLS port, in nginx's log", ("nginx", "sent as 400", "client-protocol-incompatible client-bad-request"), failure=False),
    "499": _status(
        "the client closed the connection first; in the log only",
        ("nginx", "no client received it: the client, or a load balancer in front, gave up before the response", f"{_CLIENT} proxy-timeout-too-short"),
        ("traefik", "sent although the client has disconnected", _CLIENT),
        ("caddy", "since 2.7; 0 before", _CLIENT),
    ),
    "500": _status(
        "Internal Server Error",
        ("any backend", "the application failed: by far the most common case", "application-error upstream-error-status"),
        ("nginx", "nginx ran out of connections or file descriptors, a target with a variable is unusable, a temporary file cannot be written, or rewrites form a loop", "worker-connections-exhausted too-many-open-files proxy-temp-unwritable disk-full proxy-target-invalid rewrite-cycle auth-service-failed proxy-bind-failed"),
        ("apache", "TLS with the backend failed, a name did not resolve (2.4.59), a module is missing, script headers are malformed", "tls-handshake-failed tls-verify-failed dns-host-not-found proxy-module-missing invalid-response"),
        ("traefik", "every error that is not a network error: certificates, malformed responses", "tls-verify-failed invalid-response wrong-protocol"),
    ),
    "502": _status(
        "Bad Gateway: the backend sent no usable response",
        ("nginx", "the connection failed, was interrupted before the header, or the header was unusable; a name or TLS failed; no server was left. nginx's own timeouts are 504", "backend-not-running premature-close connection-reset response-header-too-big unix-socket-missing unix-socket-permission invalid-response all-upstreams-down dns-host-not-found tls-handshake-failed tls-verify-failed wrong-protocol selinux-denied connect-timeout"),
        ("apache", "no response or a broken one, also after a timeout (mod_proxy_http); a failed connection is 503", "premature-close backend-too-slow connection-reset invalid-response response-header-too-big"),
        ("haproxy", "SH, PH: the connection was interrupted, or the proxy rejected the response; a failed connection is 503", "premature-close invalid-response response-header-too-big keepalive-race"),
        ("aws-alb", "refused, reset or malformed; a Classic ELB returns 504 for a reset", "backend-not-running keepalive-race premature-close invalid-response function-target-error tls-handshake-failed"),
        ("caddy, traefik", "every network failure", "backend-not-running premature-close connect-timeout dns-host-not-found wrong-protocol"),
        ("envoy", "UPE: the response is not valid HTTP; everything else is 503", "invalid-response wrong-protocol"),
        ("gcp", "every error of the classic load balancer", "all-upstreams-down backend-too-slow keepalive-race backend-not-running"),
        ("azure", "no healthy member, or the network security group blocks the backend", "all-upstreams-down connect-timeout health-check-misconfigured"),
        ("cloudflare", "a page in Cloudflare's design was sent by the origin; a plain page comes from Cloudflare itself", "upstream-error-status gateway-provider-fault"),
        ("any backend", "it returned the status itself: often a second proxy behind the first", "upstream-error-status"),
    ),
    "503": _status(
        "Service Unavailable",
        ("nginx", "limit_req, limit_conn or `return 503`; never for a failed backend", "rate-limited maintenance-response upstream-error-status"),
        ("apache", "the connection to the backend failed, or no member is left", "backend-not-running all-upstreams-down unix-socket-missing unix-socket-permission connect-timeout upstream-connection-limit"),
        ("haproxy", "SC, sC, sQ: refused, no answer, queue timeout, or no server left", "backend-not-running all-upstreams-down connect-timeout upstream-connection-limit"),
        ("aws-alb", "no target is registered; a Classic ELB: none is healthy, or its queue is full", "no-upstream-members all-upstreams-down"),
        ("envoy", "UH, UF, UC, UO, NC: no host, failed connection, interrupted connection, circuit breaker, no cluster", "backend-not-running all-upstreams-down premature-close upstream-connection-limit route-target-missing"),
        ("varnish", "every failed fetch", "backend-not-running backend-too-slow all-upstreams-down premature-close"),
        ("ingress-nginx", "the Service has no ready endpoints", "no-upstream-members route-not-found"),
        ("fastly", "every failed fetch; the reason is the status text", "all-upstreams-down premature-close backend-too-slow"),
        ("caddy, traefik", "every backend is marked unhealthy", "all-upstreams-down no-upstream-members circuit-breaker-open"),
        ("any backend", "it returned the status itself: overload, a deployment, maintenance", "upstream-error-status"),
    ),
    "504": _status(
        "Gateway Timeout",
        ("nginx", "one of nginx's own timeouts expired: connect, TLS, send or read (60 s each)", "backend-too-slow connect-timeout backend-hung workers-exhausted proxy-timeout-too-short cpu-saturation io-saturation"),
        ("haproxy", "sH: timeout server", "backend-too-slow backend-hung workers-exhausted proxy-timeout-too-short"),
        ("apache", "mod_proxy_fcgi only, 2.4.26 and later", "backend-too-slow backend-hung workers-exhausted"),
        ("aws-alb", "connect timeout (10 s) or idle timeout (60 s); on a Classic ELB also a closed connection", "backend-too-slow connect-timeout keepalive-race"),
        ("envoy", "UT: the route's timeout (15 s), SI", "backend-too-slow backend-hung proxy-timeout-too-short"),
        ("traefik", "the connection or the response took too long", "connect-timeout container-network-mismatch backend-too-slow"),
        ("caddy", "response_header_timeout only", "backend-too-slow backend-hung"),
        ("cloudflare", "the origin sent it", "upstream-error-status backend-too-slow"),
        ("any backend", "it returned the status itself: often a second proxy behind the first", "upstream-error-status"),
    ),
    "520": _status("an unusable response from the origin", ("cloudflare", "empty, unknown or unexpected response: a crash, a reset, headers too large", "invalid-response premature-close connection-reset backend-crashed response-header-too-big keepalive-race")),
    "521": _status("the origin refuses the connection", ("cloudflare", "nothing listens, or a firewall rejects its addresses", "backend-not-running connect-rejected wrong-port")),
    "522": _status("no connection to the origin", ("cloudflare", "no answer to the SYN within 19 s, or the request was not acknowledged", "connect-timeout connect-rejected listen-backlog-overflow stale-dns cdn-setting")),
    "523": _status("the origin is unreachable", ("cloudflare", "no route to the origin's address", "host-unreachable stale-dns dns-host-not-found")),
    "524": _status("the origin responds too late", ("cloudflare", "connected, but no response within 100 to 125 s", "backend-too-slow proxy-timeout-too-short backend-hung workers-exhausted")),
    "525": _status("the TLS handshake with the origin failed", ("cloudflare", "no certificate, no common cipher, or port 443 does not speak TLS", "tls-handshake-failed wrong-protocol")),
    "526": _status("the origin's certificate is invalid", ("cloudflare", "Full (strict): expired, self-signed, wrong name", "tls-verify-failed")),
    "527": _status("the tunnel to the origin failed", ("cloudflare", "Railgun, withdrawn", "tunnel-disconnected")),
    "530": _status("an error with a four-digit code", ("cloudflare", "1016: the origin's name does not resolve; 1033: the tunnel is not connected", "dns-host-not-found tunnel-disconnected")),
    "561": _status("authentication failed", ("aws-alb", "the identity provider returned an error", "auth-service-failed")),
}  # fmt: skip
