"""HTTP over a Host's connection: sufficient for the local sockets of supervisord, container engines and admin interfaces."""

from __future__ import annotations

import time

from why502.host.base import Host
from why502.model.errors import Expired, HostError
from why502.model.network import Network
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number

LIMIT_BYTES = 8 << 20
_CHUNK = lazy(rb"([0-9A-Fa-f]{1,8})[ \t]{0,8}(?:;[^\r\n]{0,1024})?\r\n")


def ask(
    host: Host,
    target: Target,
    path: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    host_header: str = "localhost",
    limit_bytes: int = LIMIT_BYTES,
    network_of: Network | None = None,
    timeout_s: float,
) -> bytes:
    """Return the body of a 200 response to a GET (a POST if there is a body), cut at the limit. Raises HostError.

    `network_of`: the network namespace to ask in; None: ours.
    """
    deadline = time.monotonic() + timeout_s
    head = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {host_header}", "Connection: close"]
    head.append(f"Content-Length: {len(body)}")
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    connection = host.connect(target, timeout_s=timeout_s, network_of=network_of)
    try:
        connection.send("\r\n".join((*head, "", "")).encode() + body)
        answer = bytearray()
        while len(answer) < limit_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Expired(f"{target}: no complete response within {timeout_s:g} s")
            part = connection.receive(timeout_s=left)
            if not part:
                break
            answer += part
            if _is_whole(answer):
                break
    finally:
        connection.close()
    top, _, content = bytes(answer).partition(b"\r\n\r\n")
    status = top.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status != [b"200"]:
        raise HostError(f"{target}: answered {b''.join(status).decode('ascii', 'replace') or 'nothing'} to {path.split('?')[0]}")
    return _joined(content) if b"transfer-encoding: chunked" in top.lower() else content


def _is_whole(answer: bytearray) -> bool:
    head, found, content = bytes(answer[:4096]).partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and (size := whole_number(value.strip())) is not None:
            return len(answer) - len(head) - 4 >= size
    return b"transfer-encoding: chunked" in head.lower() and answer.endswith(b"\r\n0\r\n\r\n") and bool(content)


def _joined(content: bytes) -> bytes:
    """Return the content of a chunked body (RFC 9112, 7.1)."""
    found = bytearray()
    at = 0
    while match := _CHUNK.match(content, at):
        length = int(match[1], 16)
        if not length:
            break
        found += content[match.end() : match.end() + length]
        at = match.end() + length + 2
    return bytes(found)
