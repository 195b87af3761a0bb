"""uwsgi: a request packet with the variables of uwsgi_params, as uwsgi_pass sends it."""

from __future__ import annotations

import msgspec

from why502.model.logs import AGENT
from why502.probing import http1
from why502.probing.line import Line
from why502.probing.request import Answer, Request


def ask(line: Line, request: Request) -> Answer:
    """Return the answer. Raises Failed, HostError. A 400 may also come from an HTTP server that did not understand the
    request.
    """
    line.send(compose(request))
    answer = http1.read(line, request, needs_status_line=False)
    return msgspec.structs.replace(answer, is_suspect=answer.status == 400)


def compose(request: Request) -> bytes:
    """Return the packet (https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html): modifier 0, its size,
    then all sized strings.
    """
    words = [word.encode("latin-1", "replace") for pair in variables(request) for word in pair]
    packed = b"".join(len(word).to_bytes(2, "little") + word for word in words)
    return b"\x00" + len(packed).to_bytes(2, "little") + b"\x00" + packed


def variables(request: Request) -> list[tuple[str, str]]:
    """Return the CGI variables (RFC 3875, 4.1) of a request: those of nginx's uwsgi_params file, and the ones the route sets."""
    fixed = {
        "QUERY_STRING": request.path.partition("?")[2],
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "REQUEST_URI": request.path,
        "PATH_INFO": request.path.partition("?")[0],
        "DOCUMENT_ROOT": "/",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "SERVER_PORT": "80",
        "SERVER_NAME": request.host or "localhost",
        "HTTP_HOST": request.host or "localhost",
        "HTTP_USER_AGENT": AGENT,
        "HTTP_X_WHY502_PROBE": "1",
    }
    return list({**fixed, **dict(request.params)}.items())
