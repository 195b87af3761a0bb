"""Requests the status and ping pages of a PHP-FPM pool over FastCGI (FastCGI specification 1.0; fpm_status.c)."""

from __future__ import annotations

import time

from why502.host.base import Host
from why502.model.errors import Expired, HostError
from why502.model.target import Target

_BEGIN, _END, _PARAMS, _STDIN, _STDOUT = 1, 3, 4, 5, 6
_ANSWER_BYTES = 64 << 10


def encode(path: str) -> bytes:
    """Return the records of one GET request for a page of FPM itself; no script is run."""
    params = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": path, "SCRIPT_FILENAME": path, "REQUEST_URI": path, "QUERY_STRING": ""}
    pairs = b"".join(_pair(name.encode(), value.encode()) for name, value in params.items())
    begin = b"\x00\x01" + bytes(6)  # role: responder; the connection is closed after the answer
    return _record(_BEGIN, begin) + _record(_PARAMS, pairs) + _record(_PARAMS, b"") + _record(_STDIN, b"")


def decode(data: bytes) -> tuple[bytes, bool]:
    """Return the content of the answer's records so far, and whether it is complete. Raises HostError if it is not FastCGI."""
    answer = b""
    at = 0
    while at + 8 <= len(data):
        if data[at] != 1:
            raise HostError("the response is not FastCGI")
        kind, size = data[at + 1], int.from_bytes(data[at + 4 : at + 6], "big")
        if kind == _STDOUT:
            answer += data[at + 8 : at + 8 + size]
        after = at + 8 + size + data[at + 6]
        if kind == _END and after <= len(data):
            return answer, True
        at = after
    return answer, False


def page(host: Host, target: Target, path: str, *, timeout_s: float) -> bytes:
    """Return the body of a page. Raises HostError: Expired after `timeout_s` in total, also if no child is free to answer."""
    until = time.monotonic() + timeout_s
    line = host.connect(target, timeout_s=timeout_s)
    try:
        line.send(encode(path))
        data = b""
        while not (whole := decode(data))[1] and len(data) < _ANSWER_BYTES:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise Expired("no answer in time")
            part = line.receive(timeout_s=left_s)
            if not part:
                break
            data += part
    finally:
        line.close()
    head, found, body = whole[0].partition(b"\r\n\r\n")
    if not found or not whole[1]:
        raise HostError("the connection was closed without an answer")
    if b"\nstatus:" in b"\n" + head.lower():
        raise HostError(f"{path} is not a page of this pool: {_shown(head)}")
    return body


def parse(body: bytes) -> dict[str, str]:
    """Return the fields of the plain-text status page, such as "listen queue"."""
    rows = (line.partition(":") for line in body.decode("utf-8", "replace").splitlines())
    return {name.strip(): value.strip() for name, found, value in rows if found and len(name) < 40}


def _record(kind: int, content: bytes) -> bytes:
    return bytes((1, kind, 0, 1)) + len(content).to_bytes(2, "big") + bytes(2) + content


def _pair(name: bytes, value: bytes) -> bytes:
    sizes = (bytes((n,)) if n < 128 else (n | 1 << 31).to_bytes(4, "big") for n in (len(name), len(value)))
    return b"".join(sizes) + name + value


def _shown(head: bytes) -> str:
    return next((line for line in head.decode("ascii", "replace").splitlines() if line.lower().startswith("status:")), "")[:60]
