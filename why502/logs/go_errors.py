"""The meaning of Go's own error texts, which Caddy, Traefik and cloudflared log unchanged.

They come from net, net/http, crypto/tls and crypto/x509.
"""

from __future__ import annotations

from typing import NamedTuple

from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.target import Target


class GoError(NamedTuple):
    """The meaning of an error text. `detail`: a host name."""

    symptom: Symptom
    target: Target | None = None
    detail: str = ""


_TEXTS = tuple(
    (lazy(pattern), symptom)
    for pattern, symptom in (
        # the client's side: since 2.7 Caddy names the side that failed; the two texts without a side come from Go's own servers
        (r"(?:response|error=).{0,40}\bwriting: |http2: stream closed|stream \d+ canceled (?:by \w+ )?with error code|Incoming request ended abruptly", Symptom.CLIENT_CLOSED),
        (r"aborting with incomplete response.{0,40}(?:context canceled|client disconnected|write (?:tcp|udp) )", Symptom.CLIENT_CLOSED),
        (r"dial tcp (?P<t>\S+?): (?:connect: |connectex: )?.{0,60}(?:connection refused|actively refused)", Symptom.CONNECT_REFUSED),
        (r"dial tcp (?P<t>\S+?): connectex: .{0,80}did not properly respond", Symptom.CONNECT_TIMED_OUT),
        (r"dial tcp (?P<t>\S+?): connectex: .{0,60}unreachable", Symptom.HOST_UNREACHABLE),
        (r"lookup (?P<h>[^\s:]*)(?: on \S+?)?: (?:no such host|Name or service not known)", Symptom.NAME_NOT_FOUND),
        (r"lookup (?P<h>[^\s:]+)(?: on \S+?)?: (?:server misbehaving|i/o timeout|dial udp|read udp|connection refused|[Tt]emporary failure)", Symptom.NAME_SERVER_FAILED),
        (r"dial tcp (?P<t>[^:\s]\S*?|<[^>]{1,60}>:\d+): (?:connect: )?(?:connection timed out|i/o timeout|operation timed out)", Symptom.CONNECT_TIMED_OUT),
        (r"dial tcp (?P<t>\S+?): (?:connect: )?(?:no route to host|network is unreachable|host is down)", Symptom.HOST_UNREACHABLE),
        (r"dial tcp (?P<t>\S+?): (?:connect: )?cannot assign requested address", Symptom.NO_LOCAL_PORT),
        (r"dial tcp (?P<t>\S+?): (?:connect: |socket: )?(?:permission denied|operation not permitted)", Symptom.CONNECT_DENIED),
        (r"dial tcp.{0,400}: socket: too many open files|accept.{0,400}too many open files", Symptom.FILES_EXHAUSTED),
        (r"dial unix (?P<u>\S+?): (?:connect: )?no such file or directory", Symptom.SOCKET_PATH_MISSING),
        (r"dial unix (?P<u>\S+?): (?:connect: )?permission denied", Symptom.CONNECT_DENIED),
        (r"dial unix (?P<u>\S+?): (?:connect: )?connection refused", Symptom.CONNECT_REFUSED),
        (r"dial unix (?P<u>\S+?): (?:connect: )?resource temporarily unavailable", Symptom.QUEUE_FULL),
        (r"dial (?:tcp|unix).{0,400}(?:deadline exceeded|operation was canceled)", Symptom.CONNECT_TIMED_OUT),
        (r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client", Symptom.TLS_NOT_TLS),
        (r"malformed HTTP response \"\\+(?:x15|u0015)\\+(?:x03|u0003)|client sent an HTTP request to an HTTPS server", Symptom.TLS_REQUEST_EXPECTED),
        (r"malformed HTTP response \"\\+(?:x00|u0000)\\+(?:x00|u0000)", Symptom.OTHER_PROTOCOL),
        (r"x509: |failed to verify certificate|certificate is not trusted", Symptom.TLS_UNVERIFIED),
        (r"tls: (?:bad certificate|certificate required)", Symptom.TLS_CLIENT_CERTIFICATE),
        (r"remote error: tls: |tls: handshake failure|tls: internal error|tls: no cipher suite|tls: protocol version", Symptom.TLS_FAILED),
        (r"TLS handshake timeout", Symptom.TLS_TIMED_OUT),
        (r"server closed idle connection|Unsolicited response received on idle", Symptom.CLOSED_BEFORE_HEADER),
        (r"server response headers exceeded|too many .{0,20}response headers", Symptom.HEADER_TOO_BIG),
        (r"stream error: stream ID \d+; (?:PROTOCOL_ERROR|HTTP_1_1_REQUIRED)|http2: (?:unexpected|invalid|frame|server sent)|frame_size_error", Symptom.OTHER_PROTOCOL),
        (r"stream error: stream ID \d+; \w+|GOAWAY", Symptom.STREAM_RESET),
        (r"transport connection broken: unexpected EOF", Symptom.CLOSED_BEFORE_HEADER),
        (r"malformed HTTP (?:response|status code|version)|malformed MIME header|transport connection broken|invalid header field|http2: ", Symptom.HEADER_INVALID),
        (r"timeout awaiting response headers|Client\.Timeout exceeded while awaiting headers", Symptom.READ_TIMED_OUT),
        (r"aborting with incomplete response|reading from backend|unexpected EOF", Symptom.CLOSED_IN_BODY),
        (r"read (?:tcp|unix) \S*?(?:->(?P<t>\S+?))?: (?:read: |i/o timeout|use of closed).{0,20}(?:connection reset by peer)", Symptom.RESET_BEFORE_HEADER),
        (r"read (?:tcp|unix) \S*?(?:->(?P<t>\S+?))?: i/o timeout", Symptom.READ_TIMED_OUT),
        (r"write (?:tcp|unix) \S*?(?:->(?P<t>\S+?))?: (?:write: )?(?:broken pipe|connection reset by peer)", Symptom.SEND_FAILED),
        # Windows: the text is in the machine's language, but the name of the call before it is not
        (r"read tcp \S*?(?:->(?P<t>\S+?))?: wsarecv: ", Symptom.RESET_BEFORE_HEADER),
        (r"write tcp \S*?(?:->(?P<t>\S+?))?: wsasend: ", Symptom.SEND_FAILED),
        (r"fcgi: invalid header version", Symptom.HEADER_INVALID),
        (r"connection reset by peer", Symptom.RESET_BEFORE_HEADER),
        (r"no upstreams available|no available server", Symptom.NO_LIVE_UPSTREAMS),
        (r"making dial info: |unsupported protocol scheme|unknown network|missing port in address|too many colons in address|invalid port \"|unknown port|first path segment in URL", Symptom.TARGET_INVALID),
        (r"context canceled|client disconnected", Symptom.CLIENT_CLOSED),
        (r"context deadline exceeded", Symptom.READ_TIMED_OUT),
        (r"(?<![\w ])EOF(?=$|[\"'\s])|: EOF\b|^EOF", Symptom.CLOSED_BEFORE_HEADER),
    )
)  # fmt: skip


def understand(text: str) -> GoError | None:
    """Return the meaning of an error text; None for a text that no gateway gets from its backend."""
    text = text[:2048]
    for pattern, symptom in _TEXTS:
        if match := pattern.search(text):
            found = match.groupdict()
            target = Target(path=found["u"]) if found.get("u") else Target.parse(found["t"]) if found.get("t") else None
            return GoError(symptom, target if target and (target.port or target.path) else None, found.get("h") or "")
    return None
