"""HTTP/1.0 and 1.1 as a proxy sends it, and the check of the response header and body.

GET, not HEAD, unless the failing request was a HEAD. Both are safe (RFC 9110, 9.2.1), but only the answer to a GET has the
header and the body that fail for visitors, and many applications answer a HEAD with 405 or 501. At most BODY_BYTES of the body
are read.
"""

from __future__ import annotations

import re
import time

from why502.model.errors import Expired, HostError
from why502.model.logs import AGENT, Symptom
from why502.model.patterns import lazy
from why502.probing.head import Head, parse, shown
from why502.probing.line import Failed, Line, number
from why502.probing.request import BODY_BYTES, GATEWAY, HEADER_BYTES, Answer, Request

SHORT_BYTES = 4096  # a header of this length is checked immediately; a longer one, once a complete line has arrived
AT_ONCE_BYTES = 65536  # up to this length, each part that arrives is checked with all before it
CHUNK = lazy(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
# Answers to plain HTTP on a TLS port: nginx; Apache; Go; Tomcat.
TLS_WANTED = lazy(
    rb"plain HTTP request was sent to HTTPS|speaking plain HTTP to an SSL|HTTP request to an HTTPS server|requires TLS",
    re.IGNORECASE,
)
UNDERSTOOD = lazy(rb"HTTP/\d\.\d +(?:[23]\d\d|40[134])")
BAD_REQUEST = lazy(rb"HTTP/\d\.\d +400")
_END_BYTES = b"\n\r\n"
_END = lazy(rb"\n\r?\n")  # of a header
CERTIFICATE_WANTED = lazy(rb"No required SSL certificate was sent", re.IGNORECASE)


def ask(line: Line, request: Request) -> Answer:
    """Return the answer. Raises Failed, and HostError if the connection broke before a complete header."""
    line.send(compose(request))
    return read(line, request)


def compose(request: Request) -> bytes:
    """Return the request's bytes, fields in the order in which nginx sends them: Host, Connection, the others."""
    fields = [("Host", request.host)] if request.host else []
    fields += [*request.headers, ("User-Agent", AGENT), ("Accept", "*/*"), ("X-Why502-Probe", "1")]
    lines = [f"{request.method} {request.path} HTTP/{request.http_version}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def read(line: Line, request: Request, *, needs_status_line: bool = True) -> Answer:
    """Return the answer, once its header and the start of its body are valid."""
    data, head, parsed = bytearray(), None, 0
    while head is None:
        part = line.receive()
        begin = max(0, len(data) - len(_END_BYTES))
        data += part
        is_whole = not part or len(data) >= request.buffer_bytes
        # A long header is parsed again only when it has doubled, so that the time stays linear.
        is_due = len(data) < AT_ONCE_BYTES or len(data) >= 2 * parsed or _END.search(data, begin) is not None
        if data and (is_whole or (is_due and (b"\n" in part or len(data) < SHORT_BYTES))):
            parsed = len(data)
            fits = bytes(data[: request.buffer_bytes])
            head = parse(fits, needs_status_line=needs_status_line, is_strict=request.is_strict)
        if head is None and len(data) >= request.buffer_bytes:
            raise _too_big(line, data, request)
        if head is None and not part:
            what = f"after {len(data)} bytes of a header: {shown(bytes(data))}" if data else "without any data"
            raise Failed(Symptom.CLOSED_BEFORE_HEADER, f"the connection was closed {what}", errno=line.broke)
    line.mark_header()
    body = bytes(data[head.size_bytes :])
    detail = _body(line, head, body, request)
    if head.status in GATEWAY and request.is_in_route:
        if not request.knows_host and not request.through_proxy:  # it may answer so only to that Host
            detail = f"answered {head.status} to Host {request.host}, a name that may not be its own"
            return Answer(status=head.status, header_bytes=head.size_bytes, detail=detail)
        symptom = Symptom.GATEWAY_STATUS if request.through_proxy else Symptom.UPSTREAM_STATUS
        raise Failed(symptom, f"answered {head.status}", status=head.status, header_bytes=head.size_bytes)
    return Answer(status=head.status, header_bytes=head.size_bytes, detail=detail)


def _too_big(line: Line, data: bytearray, request: Request) -> Failed:
    """Return the failure, with the measured size if the end of the header still arrives."""
    begin = 0
    try:
        while not (match := _END.search(data, begin)) and len(data) < HEADER_BYTES and (part := line.receive()):
            begin = max(0, len(data) - len(_END_BYTES))
            data += part
    except HostError:
        match = None
    size = match.end() if match else len(data)
    message = f"the header takes {'' if match else 'more than '}{size} bytes, the buffer holds {request.buffer_bytes}"
    return Failed(Symptom.HEADER_TOO_BIG, message, header_bytes=size)


def _body(line: Line, head: Head, body: bytes, request: Request) -> str:
    """Read until the body is complete, or enough of it has arrived; return a remark. Raises Failed if it is cut off or
    invalid.
    """
    if request.method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return ""
    chunked = (head.get(b"transfer-encoding") or b"").lower() == b"chunked"
    length = head.get(b"content-length") or b""
    expected = int(length) if length.isdigit() and not chunked and len(length) < 18 else None
    ended, last_at, chunks = False, time.monotonic(), Chunks()
    try:
        while (
            not ended
            and len(body) < BODY_BYTES
            and not (chunks.are_whole(body) if chunked else expected is not None and len(body) >= expected)
        ):
            part = line.receive()
            body, ended, last_at = body + part, not part, time.monotonic()
    except Expired as error:
        if time.monotonic() - last_at >= request.route_read_s:
            message = (
                f"no more of the body came for {request.route_read_s:g} s, as long as the route waits, after {len(body)} bytes"
            )
            raise Failed(Symptom.BODY_TIMED_OUT, message, status=head.status, header_bytes=head.size_bytes) from error
        return f"the body was not complete after {request.answer_s:g} s"
    except HostError as error:
        message = f"the connection was reset after {len(body)} bytes of the body"
        raise Failed(
            Symptom.RESET_IN_BODY, message, errno=number(error), status=head.status, header_bytes=head.size_bytes
        ) from error
    if head.status == 400 and TLS_WANTED.search(body):
        message = "the backend answers that it requires https"
        raise Failed(Symptom.TLS_REQUEST_EXPECTED, message, status=400, header_bytes=head.size_bytes, speaks="tls")
    if head.status == 400 and CERTIFICATE_WANTED.search(body):
        message = "the backend asks for a client certificate"
        raise Failed(Symptom.TLS_CLIENT_CERTIFICATE, message, status=400, header_bytes=head.size_bytes)
    if ended and (chunked or expected is not None):
        of = "the last chunk" if chunked else f"the announced {expected} bytes"
        message = f"the connection was closed after {len(body)} bytes of the body, before {of}"
        raise Failed(Symptom.CLOSED_IN_BODY, message, status=head.status, header_bytes=head.size_bytes)
    if not request.is_wanted(body):
        message = f"the first {len(body)} bytes of the body do not contain {shown(request.wanted.encode())}"
        raise Failed(Symptom.HEALTH_CHECK_FAILED, message, status=head.status, header_bytes=head.size_bytes)
    return ""


class Chunks:
    """Parser state of a chunked body: each chunk is parsed once, even if it arrives in pieces."""

    def __init__(self) -> None:
        self._at = 0

    def are_whole(self, body: bytes) -> bool:
        """Return whether a chunked body has its last chunk (RFC 9112, 7.1). Raises Failed if it is not chunked.

        `body` must begin with the body passed in the last call.
        """
        while self._at < len(body):
            at = self._at
            match = CHUNK.match(body, at)
            if match is None:
                if b"\n" not in body[at : at + 4096] and len(body) - at < 4096:
                    return False
                raise Failed(Symptom.BODY_INVALID, f"the body is not chunked: {shown(body[at:])}")
            if int(match[1], 16) == 0:
                return True
            at = match.end() + int(match[1], 16)
            if len(body) < at + 2:
                return False
            if body[at : at + 2] != b"\r\n":
                raise Failed(Symptom.BODY_INVALID, f"a chunk is longer than its declared size: {shown(body[at:])}")
            self._at = at + 2
        return False
