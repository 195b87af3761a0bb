"""HAProxy: the first two letters of the termination state (doc/configuration.txt, "Session state at disconnection"),
check results.
"""

from __future__ import annotations

from why502.gateways.codes import Code, Product, code, table
from why502.model.logs import Symptom
from why502.model.patterns import lazy

_STATE = lazy(r"[CSPLRIDUKcs-][RQCHDLT-][NIDVEOU-]?[NIUPRD-]?")

CHECKS = {  # src/check.c, check_statuses
    "Layer4 connection problem": ("L4CON", Symptom.CONNECT_REFUSED, "backend-not-running wrong-port connect-rejected"),
    "Layer4 timeout": ("L4TOUT", Symptom.CONNECT_TIMED_OUT, "connect-timeout listen-backlog-overflow"),
    "Layer6 timeout": ("L6TOUT", Symptom.TLS_TIMED_OUT, "backend-hung wrong-protocol tls-handshake-failed"),
    "Layer6 invalid response": ("L6RSP", Symptom.TLS_FAILED, "tls-handshake-failed tls-verify-failed wrong-protocol"),
    "Layer7 timeout": ("L7TOUT", Symptom.READ_TIMED_OUT, "backend-hung backend-too-slow workers-exhausted"),
    "Layer7 invalid response": ("L7RSP", Symptom.HEADER_INVALID, "wrong-protocol premature-close invalid-response"),
    "Layer7 wrong status": ("L7STS", Symptom.HEALTH_CHECK_STATUS, "health-check-misconfigured upstream-error-status"),
    "Socket error": ("SOCKERR", Symptom.HEALTH_CHECK_FAILED, "too-many-open-files health-check-misconfigured"),
    "Health analyze": ("HANA", Symptom.UPSTREAM_STATUS, "upstream-error-status"),
    "External check error": ("PROCERR", Symptom.HEALTH_CHECK_STATUS, "health-check-misconfigured"),
    "External check timeout": ("PROCTOUT", Symptom.HEALTH_CHECK_STATUS, "health-check-misconfigured"),
}

_GONE = "client-closed-request backend-too-slow"
_OWN = "maintenance-response denied-by-rule"

PRODUCT = Product(
    name="haproxy",
    title="HAProxy",
    formats=("haproxy",),
    about=(
        "The first letter of the termination state in the log shows who ended a request: C client, S server, P the "
        "proxy itself, L answered locally, R a resource of the proxy, D and U a server that went down or came back, K "
        "an administrator. A lower-case letter means a timeout. The second letter shows the phase: R request, Q "
        "queue, C connect, H response header, D data, L last data, T tarpit. HAProxy does not log the errno of a "
        "failed connection; see the messages about the server's health checks. `----` with a 5xx means that the "
        "server itself sent that status. `diagnose` asks the runtime socket (`stats socket`), or a statistics page "
        "without a password, why servers are down."
    ),
    codes=table(
        code("SC", "the server refused the connection, or no server was usable (`<NOSRV>`)", Symptom.CONNECT_REFUSED, "backend-not-running wrong-port wrong-address all-upstreams-down connect-rejected host-unreachable tls-verify-failed", "503"),
        code("sC", "timeout connect expired", Symptom.CONNECT_TIMED_OUT, "connect-timeout listen-backlog-overflow host-unreachable wrong-protocol", "503"),
        code("SH", "the server closed or reset the connection before a complete response header", Symptom.CLOSED_BEFORE_HEADER, "premature-close keepalive-race backend-crashed connection-reset worker-timeout wrong-protocol", "502"),
        code("PH", "the proxy rejected the response: not HTTP, a bad header, too big, or a rule", Symptom.HEADER_INVALID, "invalid-response response-header-too-big wrong-protocol denied-by-rule", "502"),
        code("sH", "timeout server expired before the response header", Symptom.READ_TIMED_OUT, "backend-too-slow backend-hung workers-exhausted proxy-timeout-too-short", "504"),
        code("sQ", "timeout queue expired: every allowed connection was in use", Symptom.PEER_LIMIT, "upstream-connection-limit workers-exhausted backend-too-slow", "503"),
        code("SQ", "the server went down while requests waited for it", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-crashed", "503"),
        code("SD", "the server closed or reset the connection during the body", Symptom.CLOSED_IN_BODY, "truncated-response backend-crashed connection-reset", "the server's"),
        code("SL", "the server closed the connection before the end of the data", Symptom.CLOSED_IN_BODY, "truncated-response", "the server's"),
        code("sD", "timeout server expired during the body", Symptom.BODY_TIMED_OUT, "truncated-response backend-hung websocket-idle-timeout", "the server's"),
        code("CH", "the client disconnected while waiting for the response", Symptom.CLIENT_CLOSED, f"{_GONE} backend-hung", "none, or 400"),
        code("CC", "the client disconnected during the connect", Symptom.CLIENT_CLOSED, "client-closed-request connect-timeout", "none; 503 up to 2.4"),
        code("CQ", "the client disconnected while it was queued", Symptom.CLIENT_CLOSED, "client-closed-request workers-exhausted upstream-connection-limit", "none; 503 up to 2.4"),
        code("CD", "the client disconnected during the transfer", None, "client-closed-request", "the server's", failure=False),
        code("CL", "the client disconnected before the end of the data", None, "client-closed-request", "the server's", failure=False),
        code("CR", "the client disconnected before its request was complete", None, "client-closed-request", "400", failure=False),
        code("cD", "timeout client expired during the transfer", Symptom.CLIENT_TIMED_OUT, "client-timeout client-closed-request", "the server's", failure=False),
        code("cH", "timeout client expired while waiting for the response", Symptom.CLIENT_TIMED_OUT, "client-timeout backend-too-slow", "408 or 504"),
        code("cR", "timeout http-request expired", Symptom.CLIENT_TIMED_OUT, "client-timeout", "408", failure=False),
        code("PC", "the process reached its connection limit", Symptom.WORKER_CONNECTIONS, "worker-connections-exhausted too-many-open-files", "503"),
        code("RC", "the proxy lacks a resource for the connection: ports, sockets or memory", Symptom.NO_LOCAL_PORT, "ephemeral-ports-exhausted too-many-open-files memory-pressure", "503"),
        code("RR", "the proxy lacks a resource", Symptom.FILES_EXHAUSTED, "too-many-open-files memory-pressure", "500"),
        code("RH", "the proxy lacks a resource", Symptom.FILES_EXHAUSTED, "too-many-open-files memory-pressure", "502"),
        code("PR", "rejected by the proxy: a deny rule, bad syntax or a limit", Symptom.OWN_STATUS, "denied-by-rule maintenance-response rate-limited client-bad-request", "as configured"),
        code("PT", "delayed by a tarpit rule", Symptom.DENIED_BY_RULE, "denied-by-rule", "500", failure=False),
        code("PD", "a chunk of the body is malformed", Symptom.BODY_INVALID, "invalid-response", "the server's"),
        code("LR", "answered by the proxy: return, redirect, stats, monitor", Symptom.OWN_STATUS, _OWN, "as configured"),
        code("LH", "answered by the proxy: http-response return", Symptom.OWN_STATUS, _OWN, "as configured"),
        code("LC", "answered by the proxy: redirect", Symptom.OWN_STATUS, _OWN, "as configured"),
        code("DC", "the server was marked down", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-crashed"),
        code("DH", "the server was marked down", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-crashed"),
        code("DD", "the server was marked down", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-crashed"),
        code("UD", "the session on a backup server was ended because its main server is back", None, "", failure=False),
        code("KC", "ended by an administrator", None, "", failure=False),
        code("KH", "ended by an administrator", None, "", failure=False),
        code("KD", "ended by an administrator", None, "", failure=False),
        code("IH", "an internal error of the proxy", Symptom.PROXY_INTERNAL, "proxy-bug", "500"),
        code("----", "normal end; with a 5xx, the server itself sent it", None, "upstream-error-status", "the server's", failure=False),
        *(code(short, f"health check: {long}", symptom, causes) for long, (short, symptom, causes) in CHECKS.items()),
    ),
    next=(
        "echo 'show stat; show servers state' | socat - /run/haproxy/admin.sock",
        "echo 'show errors' | socat - /run/haproxy/admin.sock",
        "haproxy -c -f /etc/haproxy/haproxy.cfg",
    ),
    references=("https://docs.haproxy.org/dev/configuration.html#8.5",),
)  # fmt: skip


def composed(text: str) -> list[Code]:
    """Return the row of a termination state: its first two letters decide, those of cookies follow them."""
    if _STATE.fullmatch(text) is None:
        return []
    row = PRODUCT.codes.get(text[:2] if text != "--" else "----")
    return [row] if row else []
