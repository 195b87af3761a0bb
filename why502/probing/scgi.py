"""SCGI: the netstring of variables that scgi_pass sends (https://python.ca/scgi/protocol.txt)."""

from __future__ import annotations

import msgspec

from why502.probing import http1
from why502.probing.line import Line
from why502.probing.request import Answer, Request
from why502.probing.uwsgi import variables


def ask(line: Line, request: Request) -> Answer:
    """Return the answer. Raises Failed, HostError. A 400 may also come from an HTTP server that did not understand the
    request.
    """
    rest = [pair for pair in variables(request) if pair[0] != "CONTENT_LENGTH"]
    packed = "".join(f"{name}\0{value}\0" for name, value in (("CONTENT_LENGTH", "0"), ("SCGI", "1"), *rest))
    line.send(f"{len(packed)}:{packed},".encode("latin-1", "replace"))
    answer = http1.read(line, request, needs_status_line=False)
    return msgspec.structs.replace(answer, is_suspect=answer.status == 400)
