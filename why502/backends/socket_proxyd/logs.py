"""What systemd-socket-proxyd writes to the journal (src/socket-proxy/socket-proxyd.c): why it closes an accepted connection."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom

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
MARKS, fits, parse = of_phrases(NAME, PHRASES)
