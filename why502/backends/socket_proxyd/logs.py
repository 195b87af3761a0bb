"""What systemd-socket-proxyd writes to the journal (src/socket-proxy/socket-proxyd.c): why it closes what it has accepted."""

from __future__ import annotations

from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord, Phase, Symptom

NAME = "socket_proxyd"
PHRASES = (
    Phrase(
        "Failed to connect to remote host: ",
        r"(?P<detail>Failed to connect to remote host: .*)",
        Symptom.APPLICATION_ERROR,
        Phase.CONNECT,
    ),
    Phrase(
        "Hit connection limit, refusing connection", r"(?P<detail>Hit connection limit, refusing connection)", Symptom.PEER_LIMIT
    ),
)
MARKS = marks(PHRASES)


def fits(sample: list[str]) -> float:
    """Return the share of lines that only systemd-socket-proxyd writes."""
    return share(sample, parse)


def parse(line: str) -> LogRecord | None:
    """Return what one line says of a connection to the other end; None for all other lines."""
    return read(line, PHRASES, NAME)
