"""What a symptom is called in a sentence: "connection refused 37 times"."""

from __future__ import annotations

from why502.model.logs import Symptom

WORDS = {
    Symptom.CONNECT_REFUSED: "connection refused",
    Symptom.CONNECT_TIMED_OUT: "no answer to the connection attempt",
    Symptom.CONNECT_RESET: "connection reset while connecting",
    Symptom.CONNECT_DENIED: "connecting was not permitted",
    Symptom.HOST_UNREACHABLE: "no route to the host",
    Symptom.SOCKET_PATH_MISSING: "the socket's path does not exist",
    Symptom.QUEUE_FULL: "the accept queue was full",
    Symptom.NO_LOCAL_PORT: "no local port was left",
    Symptom.NO_LIVE_UPSTREAMS: "no server of the group was left to try",
    Symptom.NAME_NOT_FOUND: "the name did not resolve",
    Symptom.NAME_SERVER_FAILED: "the name server did not answer properly",
    Symptom.NO_RESOLVER: "a name had to be resolved and no resolver is configured",
    Symptom.TLS_FAILED: "the TLS handshake failed",
    Symptom.TLS_NOT_TLS: "the other side does not speak TLS",
    Symptom.TLS_UNVERIFIED: "the certificate did not verify",
    Symptom.TLS_TIMED_OUT: "the TLS handshake took too long",
    Symptom.READ_TIMED_OUT: "no response header before the timeout",
    Symptom.BODY_TIMED_OUT: "the response body stalled until the timeout",
    Symptom.SEND_TIMED_OUT: "the backend did not take the request before the timeout",
    Symptom.CLOSED_BEFORE_HEADER: "connection closed before a whole response header",
    Symptom.RESET_BEFORE_HEADER: "connection reset before a whole response header",
    Symptom.CLOSED_IN_BODY: "connection closed in the middle of the body",
    Symptom.RESET_IN_BODY: "connection reset in the middle of the body",
    Symptom.NO_STATUS_LINE: "the answer had no HTTP status line",
    Symptom.HEADER_INVALID: "the response header was invalid",
    Symptom.HEADER_TOO_BIG: "the response header was too big for the buffer",
    Symptom.OTHER_PROTOCOL: "bytes of another protocol came back",
    Symptom.UPSTREAM_STATUS: "the backend itself answered with an error status",
    Symptom.GATEWAY_STATUS: "a gateway error status stands in the access log",
    Symptom.CLIENT_CLOSED: "the client closed the connection first",
    Symptom.WORKER_CONNECTIONS: "worker_connections were used up",
    Symptom.FILES_EXHAUSTED: "no file descriptor was left",
    Symptom.RATE_LIMITED: "the proxy's own limit refused the request",
    Symptom.OWN_STATUS: "the proxy answered by a rule of its own",
    Symptom.TEMP_DENIED: "a temporary file could not be written",
}


def words(symptom: Symptom) -> str:
    """Return a symptom in words."""
    return WORDS.get(symptom, symptom.value.replace("-", " "))
