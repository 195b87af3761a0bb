"""FastCGI: the management record FCGI_GET_VALUES (FastCGI specification 1.0, 4.1), which runs no script.

A PHP-FPM child answers it as soon as one is free, so it also tells when all are busy.
"""

from __future__ import annotations

from why502.model.logs import Symptom
from why502.probing.head import shown
from why502.probing.line import Failed, Line
from why502.probing.request import Answer, Request
from why502.probing.speech import identify

GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
_NAMES = b"".join(bytes((len(name), 0)) + name for name in (b"FCGI_MAX_CONNS", b"FCGI_MPXS_CONNS"))
RECORD = bytes((1, GET_VALUES, 0, 0, 0, len(_NAMES), -len(_NAMES) % 8, 0)) + _NAMES + bytes(-len(_NAMES) % 8)


def ask(line: Line, _: Request) -> Answer:
    """Return that a FastCGI program answers. Raises Failed, HostError."""
    line.send(RECORD)
    data = b""
    while len(data) < 8:
        part = line.receive()
        data += part
        if data and data[0] != 1:  # "upstream sent unsupported FastCGI protocol version"
            says = f"the peer does not speak FastCGI: it sent {shown(data)}"
            raise Failed(Symptom.OTHER_PROTOCOL, says, speaks=identify(data))
        if not part:
            raise Failed(Symptom.CLOSED_BEFORE_HEADER, f"the connection was closed after {len(data)} bytes", errno=line.broke)
    if data[1] not in (GET_VALUES_RESULT, UNKNOWN_TYPE):
        raise Failed(Symptom.HEADER_INVALID, f"unexpected FastCGI record {data[1]}")
    return Answer(detail="it answers FastCGI (FCGI_GET_VALUES)")
