"""Parses a response header by nginx's rules: ngx_http_parse_status_line and ngx_http_parse_header_line (ngx_http_parse.c)."""

from __future__ import annotations

import re

from why502.model.base import Value
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.probing.line import Failed

STATUS_LINE = lazy(rb"HTTP/[1-9]\d{0,2}\.\d{1,3} +(\d) *(\d) *(\d)(?:[ .][^\r\n]*)?\r?\n")
BLANK = (b"", b"\r")
# A line without a colon is accepted, and so is a second "HTTP/..." line; a space or a NUL in the name is not.
FIELD = lazy(rb"HTTP/.*|[^\x00-\x20\x7f:]+(?::[^\x00\r]*)?\r*", re.DOTALL)
FRAMING = (b"content-length", b"transfer-encoding")


class Head(Value, frozen=True, kw_only=True):
    """A complete header. Field names are lower-case; `size_bytes` includes the empty line."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    size_bytes: int

    def get(self, name: bytes) -> bytes | None:
        """Return the first field with that name."""
        return next((value for key, value in self.fields if key == name), None)


def parse(data: bytes, *, needs_status_line: bool = True, is_strict: bool = False) -> Head | None:
    """Return the header at the start of the data; None if it is incomplete. Raises Failed as soon as it cannot be a header.

    Without `needs_status_line` a CGI header with a `Status` field is accepted (uwsgi_pass, scgi_pass). `is_strict`:
    contradictory framing fields are refused, as in nginx since 1.23.0.
    """
    at, status = 0, 0
    if match := STATUS_LINE.match(data):
        at, status = match.end(), int(b"".join(match.groups()))
    elif b"\n" not in data and data[:5] == b"HTTP/"[: len(data)]:
        return None
    elif needs_status_line:
        raise Failed(Symptom.NO_STATUS_LINE, f"the answer begins with {shown(data)}, which is not an HTTP status line")
    fields: list[tuple[bytes, bytes]] = []
    while (end := data.find(b"\n", at)) >= 0:
        line = data[at:end]
        at = end + 1
        if line in BLANK:
            head = Head(status=status or _cgi_status(fields), fields=tuple(fields), size_bytes=at)
            if is_strict:
                _check_framing(fields)
            return head
        _check(line)
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \r")))
    if data[at:] not in BLANK:
        _check(data[at:])
    return None


def shown(data: bytes, limit: int = 64) -> str:
    """Return the first bytes as text that is safe in a terminal: bytes other than printable ASCII become \\xHH."""
    text = "".join(chr(x) if 0x20 <= x < 0x7F and x != 0x5C else f"\\x{x:02x}" for x in data[:limit])
    return f'"{text}"'


def _check(line: bytes) -> None:
    if not FIELD.fullmatch(line):
        raise Failed(Symptom.HEADER_INVALID, f"the response contains an invalid header line: {shown(line)}")


def _check_framing(fields: list[tuple[bytes, bytes]]) -> None:
    framing = [(name, value) for name, value in fields if name in FRAMING]
    lines = ", ".join(shown(name + b": " + value) for name, value in framing)
    if len(framing) > 1:
        raise Failed(Symptom.HEADER_INVALID, f"the response gives its length twice: {lines}")
    for name, value in framing:
        if not (value.isdigit() if name == FRAMING[0] else value.lower() == b"chunked"):
            raise Failed(Symptom.HEADER_INVALID, f"the response has an invalid length: {lines}")


def _cgi_status(fields: list[tuple[bytes, bytes]]) -> int:
    """Return the status of a CGI header (RFC 3875, 6.3.3). Without a Status field it is 200, or 302 with a Location."""
    named = dict(reversed(fields))
    if (status := named.get(b"status")) is None:
        return 302 if b"location" in named else 200
    if not status[:3].isdigit() or len(status) < 3:
        raise Failed(Symptom.HEADER_INVALID, f"the answer's Status is {shown(status)}")
    return int(status[:3])
