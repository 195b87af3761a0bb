"""The names of symptoms in sentences: "connection refused 37 times"."""

from __future__ import annotations

from why502.model.logs import Symptom

WORDS = {
    Symptom.CONNECT_REFUSED: "connection refused",
    Symptom.CONNECT_TIMED_OUT: "connection attempt timed out",
    Symptom.CONNECT_RESET: "connection reset while connecting",
    Symptom.CONNECT_DENIED: "connection not permitted",
    Symptom.HOST_UNREACHABLE: "no route to the host",
    Symptom.SOCKET_PATH_MISSING: "the socket path does not exist",
    Symptom.QUEUE_FULL: "the accept queue was full",
    Symptom.NO_LOCAL_PORT: "no local port was free",
    Symptom.NO_LIVE_UPSTREAMS: "no server in the group was available",
    Symptom.NAME_NOT_FOUND: "the name did not resolve",
    Symptom.NAME_SERVER_FAILED: "the name server failed to answer",
    Symptom.NO_RESOLVER: "a name had to be resolved, but no resolver is configured",
    Symptom.TLS_FAILED: "the TLS handshake failed",
    Symptom.TLS_NOT_TLS: "the peer does not speak TLS",
    Symptom.TLS_UNVERIFIED: "certificate verification failed",
    Symptom.TLS_TIMED_OUT: "the TLS handshake timed out",
    Symptom.READ_TIMED_OUT: "no response header before the timeout",
    Symptom.BODY_TIMED_OUT: "the response body stalled until the timeout",
    Symptom.SEND_TIMED_OUT: "the backend did not accept the request before the timeout",
    Symptom.CLOSED_BEFORE_HEADER: "connection closed before a complete response header",
    Symptom.RESET_BEFORE_HEADER: "connection reset before a complete response header",
    Symptom.CLOSED_IN_BODY: "connection closed in the middle of the body",
    Symptom.RESET_IN_BODY: "connection reset in the middle of the body",
    Symptom.NO_STATUS_LINE: "the response had no HTTP status line",
    Symptom.HEADER_INVALID: "the response header was invalid",
    Symptom.HEADER_TOO_BIG: "the response header was too big for the buffer",
    Symptom.OTHER_PROTOCOL: "the backend replied in another protocol",
    Symptom.UPSTREAM_STATUS: "the backend itself returned an error status",
    Symptom.GATEWAY_STATUS: "gateway error status in the access log",
    Symptom.CLIENT_CLOSED: "the client closed the connection first",
    Symptom.WORKER_CONNECTIONS: "worker_connections were used up",
    Symptom.ROUTE_UNUSED: "a configured route is not used",
    Symptom.FILES_EXHAUSTED: "no file descriptor was free",
    Symptom.RATE_LIMITED: "the proxy rejected the request under its own limit",
    Symptom.OWN_STATUS: "the proxy answered by its own rule",
    Symptom.TEMP_DENIED: "a temporary file could not be written",
}


def words(symptom: Symptom) -> str:
    """Return the name of a symptom in words."""
    return WORDS.get(symptom, symptom.value.replace("-", " "))
