"""HTTP/2 and gRPC: the connection preface (RFC 9113, 3.4). A server's first frame must be SETTINGS; no request is sent."""

from __future__ import annotations

from why502.model.logs import Symptom
from why502.probing.head import shown
from why502.probing.line import Failed, Line
from why502.probing.request import Answer, Request
from why502.probing.speech import identify

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GOAWAY = 7


def ask(line: Line, _: Request) -> Answer:
    """Return an answer if an HTTP/2 server answers. Raises Failed, HostError."""
    line.send(PREFACE)
    data = b""
    while len(data) < 9:
        part = line.receive()
        data += part
        if not part:
            message = f"after {shown(data)}" if data else "without any data"
            raise Failed(
                Symptom.CLOSED_BEFORE_HEADER, f"the connection was closed {message}", errno=line.broke, speaks=identify(data)
            )
    if (spoken := identify(data)) != "h2":
        raise Failed(Symptom.OTHER_PROTOCOL, f"the peer does not speak HTTP/2: it sent {shown(data)}", speaks=spoken)
    if data[3] == GOAWAY:
        raise Failed(Symptom.STREAM_RESET, "the peer closes the HTTP/2 connection immediately (GOAWAY)", speaks="h2")
    return Answer(detail="it answers HTTP/2 (SETTINGS)")
