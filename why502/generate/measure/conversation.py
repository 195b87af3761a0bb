"""One harmless conversation with an application: a GET of `/`, as any client may send it.

It gives the protocol, the size of the response header, and the time after which the application closes an idle connection.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from why502.host.base import Connection, Host
from why502.model.errors import Expired, HostError, Why502Error
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request

_SPEECHES = {"http": "http", "tls": "https", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "h2": "grpc"}
_KEEP_ALIVE = lazy(rb"\r\nkeep-alive:[^\r\n]*?\btimeout=(\d{1,5})", re.IGNORECASE)
_CLOSES = lazy(rb"\r\nconnection:[ \t]*close\b", re.IGNORECASE)
_LENGTH = lazy(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
PATIENCE_S = 75.0  # after which the exact idle time no longer matters
_ANSWER_S = 5.0
_MOST_BYTES = 1 << 20
_SHORTEST_S = 2  # of an idle time that a proxy can use: it must close a whole second before


@dataclass(frozen=True, slots=True)
class Idle:
    """When an application closes an idle connection: as `--app-idle` takes it, and how that is known; "" if it is not."""

    value: str = ""
    source: str = ""


def speech(host: Host, target: Target) -> str:
    """Return the protocol of an application, as `--protocol` takes it. Raises Why502Error if it does not answer."""
    try:
        found = probe(host, Request(target=target, host="localhost", http_version="1.1"))
    except HostError as error:
        raise Why502Error(f"{target} cannot be reached: {error.reason}", error.hint or "Check that it is running.") from error
    if found.status:
        return "http"
    if found.speaks in _SPEECHES:
        return _SPEECHES[found.speaks]
    raise Why502Error(
        f"{target} does not answer a request ({found.detail or found.symptom})", "Give --app and --protocol instead."
    )


def head_and_idle(host: Host, target: Target, who: str, *, waits: bool) -> tuple[bytes, Idle]:
    """Return the response header of GET /, and when the application closes an idle connection.

    `waits`: keep the connection open until then, up to 75 s. An empty header if the application does not answer.
    """
    try:
        connection = host.connect(target, timeout_s=_ANSWER_S)
    except HostError:
        return b"", Idle()
    try:
        head, rest = _answer(connection)
        return head, _idle(connection, head, rest, who, waits=waits) if head else Idle()
    except HostError:
        return b"", Idle()
    finally:
        connection.close()


def _answer(connection: Connection) -> tuple[bytes, bytes]:
    """Return the header with its end, and the part of the body that came with it; nothing if there is no whole header."""
    connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: why502\r\nAccept: */*\r\n\r\n")
    content = b""
    ends = time.monotonic() + _ANSWER_S
    while b"\r\n\r\n" not in content and len(content) < _MOST_BYTES and time.monotonic() < ends:
        part = connection.receive(timeout_s=_ANSWER_S)
        if not part:
            break
        content += part
    head, end, rest = content.partition(b"\r\n\r\n")
    return (head + end, rest) if end else (b"", b"")


def _idle(connection: Connection, head: bytes, rest: bytes, who: str, *, waits: bool) -> Idle:
    if head.startswith(b"HTTP/1.0") or _CLOSES.search(head):
        return Idle("off", f"{who} closes the connection after each answer")
    if match := _KEEP_ALIVE.search(head):
        return _rounded(int(match[1]), f"{who} sends Keep-Alive: timeout={int(match[1])}")
    if not waits:
        return Idle()
    seconds = _until_closed(connection, head, rest)
    if seconds is None:
        return _rounded(int(PATIENCE_S), f"{who} kept an idle connection open for {PATIENCE_S:.0f} s, the longest wait")
    return _rounded(int(seconds), f"{who} closed an idle connection after {seconds:.1f} s")


def _rounded(seconds: int, source: str) -> Idle:
    return Idle(f"{seconds}s" if seconds >= _SHORTEST_S else "off", source)


def _until_closed(connection: Connection, head: bytes, rest: bytes) -> float | None:
    """Return after how many seconds the application closes the idle connection; None if it is still open after our patience."""
    length = _LENGTH.search(head)
    left = int(length[1]) - len(rest) if length else 0
    began = time.monotonic()
    while (waited := time.monotonic() - began) < PATIENCE_S:
        try:
            part = connection.receive(timeout_s=PATIENCE_S - waited)
        except Expired:
            return None
        except HostError:
            part = b""
        if not part:
            return time.monotonic() - began
        left -= len(part)
        began = time.monotonic()  # the rest of the body: it is idle only after that
    return None
