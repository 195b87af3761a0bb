"""The parts of a request as logs have it: a whole line ("GET /x?y HTTP/1.1"), one without its protocol, or a path alone."""

from __future__ import annotations

_PROTOCOL = "HTTP/"


def method_of(request: str) -> str:
    """Return the method; "" if the text is a path alone."""
    return "" if request.startswith("/") else request.partition(" ")[0]


def uri_of(request: str) -> str:
    """Return the URI with its query; "" if the text has none.

    A log may cut the line within its protocol, and `$uri` of nginx is decoded, so it may have blanks.
    """
    uri = request if request.startswith("/") else request.partition(" ")[2]
    before, blank, last = uri.rpartition(" ")
    is_protocol = last.startswith(_PROTOCOL) or _PROTOCOL.startswith(last)
    return before if blank and is_protocol else uri


def path_of(request: str) -> str:
    """Return the path: the URI without its query."""
    return uri_of(request).partition("?")[0]
