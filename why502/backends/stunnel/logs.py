"""stunnel's log (src/client.c, verify.c, options.c): why it closes an accepted connection, and why it does not start."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "stunnel"
_START = Phase.STARTUP
_HEAD = lazy(r"LOG[0-7]\[(?:\d{1,20}|ui|cron|main|per-day)\]: |^\[[ .:!*]\] (?:stunnel |Service \[|Configuration |Initializing )")
PHRASES = (
    Phrase(
        ": s_connect: ",
        r"s_connect: (?P<detail>connect \S{1,255}: (?!Operation (?:now )?in progress).{1,200})",
        Symptom.APPLICATION_ERROR,
        Phase.CONNECT,
    ),
    Phrase(
        "TIMEOUTconnect exceeded",
        r"s_poll_wait (?P<detail>\S{1,255}: TIMEOUTconnect exceeded)",
        Symptom.APPLICATION_ERROR,
        Phase.CONNECT,
    ),
    Phrase(": CERT: ", r"CERT: (?:Pre-verification error: )?(?P<detail>.*)", Symptom.TLS_UNVERIFIED, Phase.TLS),
    Phrase("Failed to initialize TLS context", r"(?P<detail>Service \[[^\]]{1,255}\]: Failed to initialize TLS context)", Symptom.START_FAILED, _START),
    Phrase("[!] Configuration failed", r"(?P<detail>Configuration failed)", Symptom.START_FAILED, _START),
    Phrase("[!] No trusted certificates found", r"(?P<detail>No trusted certificates found)", Symptom.START_FAILED, _START),
)  # fmt: skip
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
