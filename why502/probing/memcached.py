"""memcached: the command `version` of its text protocol."""

from __future__ import annotations

from why502.model.logs import Symptom
from why502.probing.head import shown
from why502.probing.line import Failed, Line
from why502.probing.request import Answer, Request
from why502.probing.speech import identify


def ask(line: Line, _: Request) -> Answer:
    """Return the version. Raises Failed, HostError."""
    line.send(b"version\r\n")
    data = line.receive()
    if not data:
        raise Failed(Symptom.CLOSED_BEFORE_HEADER, "the connection was closed without any data", errno=line.broke)
    if not data.startswith(b"VERSION"):
        raise Failed(Symptom.OTHER_PROTOCOL, f"the peer does not speak memcached: {shown(data)}", speaks=identify(data))
    return Answer(detail="it answers memcached (version)")
