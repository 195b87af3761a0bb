"""Messages of servers in any language about a WebSocket handshake without its Upgrade or Connection header.

Sources: gorilla/websocket server.go, gobwas/ws errors.go, coder/websocket accept.go, Spring AbstractHandshakeHandler, ws
(Node.js) websocket-server.js, Tornado websocket.py, aiohttp web_ws.py, websockets (Python) server.py, Boost.Beast error.ipp,
Action Cable.
"""

from __future__ import annotations

from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom

NAME = "websocket"
_PATTERNS = (
    ("invalid Upgrade header", r"Handshake failed due to invalid Upgrade header: (?!websocket).*"),
    ("invalid Connection header", r"Handshake failed due to invalid Connection header \[?(?!.*[Uu]pgrade).*"),
    ("token not found in '", r"websocket: .*token not found in '(?:Connection|Upgrade)' header.*"),
    ("websocket: ", r"websocket: (?:upgrade != websocket|could not find connection header with token 'upgrade')"),
    ("handshake error: bad ", r"handshake error: bad \\?\"(?:Upgrade|Connection)\\?\" header"),
    ("WebSocket protocol violation", r"WebSocket protocol violation: (?:Connection|Upgrade) header .* does not contain .*"),
    ('Can "Upgrade" only to', r"Can \"Upgrade\" only to \"WebSocket\""),
    ('"Connection" must be "Upgrade"', r"\"Connection\" must be \"Upgrade\""),
    ("No WebSocket UPGRADE hdr", r"No WebSocket UPGRADE hdr: .*"),
    ("InvalidUpgrade: ", r"InvalidUpgrade: (?:missing|invalid) (?:Connection|Upgrade) header.*"),
    ("WebSocket handshake ", r"The WebSocket handshake (?:Upgrade|Connection) field is missing"),
    ("Failed to upgrade to WebSocket", r"Failed to upgrade to WebSocket \(.*HTTP_UPGRADE: *\)"),
)
PHRASES = tuple(Phrase(mark, f"(?P<detail>{pattern})", Symptom.UPGRADE_REFUSED, Phase.CLIENT) for mark, pattern in _PATTERNS)
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that report such a handshake."""
    return share(sample, parse)


def parse(line: str) -> LogRecord | None:
    """Return the record of a failed handshake; None for all other lines."""
    return read(line, PHRASES, NAME)
