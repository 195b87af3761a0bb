"""Uvicorn's log (uvicorn/server.py, config.py, supervisors/multiprocess.py, protocols/http)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "uvicorn"
_HEAD = lazy(r"(?:^|\s)(?:INFO|WARNING|ERROR|CRITICAL|DEBUG): {4,}\S|uvicorn\.(?:error|access)")
_START = Phase.STARTUP
PHRASES = (
    Phrase(
        "attempting to bind on address",
        r"(?P<detail>\[Errno (?P<errno>98|48)\] error while attempting to bind on address (?P<address>\([^)]{0,255}\)|\S{1,255}): .*)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase(
        "attempting to bind on address",
        r"(?P<detail>\[Errno (?P<errno>\d+)\] error while attempting to bind on address (?P<address>\([^)]{0,255}\)|\S{1,255}): .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("Error loading ASGI app", r"(?P<detail>Error loading ASGI app\..*)", Symptom.START_FAILED, _START),
    Phrase("Application startup failed", r"(?P<detail>Application startup failed\. Exiting)", Symptom.START_FAILED, _START),
    Phrase("Child process [", r"(?P<detail>Child process \[(?P<pid>\d{1,20})\] died)", Symptom.PROCESS_CRASHED),
    Phrase("Exceeded concurrency limit", r"(?P<detail>Exceeded concurrency limit)", Symptom.WORKERS_BUSY),
    Phrase("Exception in ASGI application", r"(?P<detail>Exception in ASGI application)", Symptom.APPLICATION_ERROR),
    Phrase("No supported WebSocket library", r"(?P<detail>No supported WebSocket library detected)", Symptom.UPGRADE_REFUSED),
    Phrase("Invalid HTTP request received", r"(?P<detail>Invalid HTTP request received)", Symptom.CLIENT_BAD_REQUEST),
    Phrase("Uvicorn running on", r"Uvicorn running on unix socket (?P<path>/\S+)", Symptom.LISTENS_ON, _START),
    Phrase("Uvicorn running on", r"Uvicorn running on (?:socket )?(?P<address>\([^)]{0,255}\)|\S+)", Symptom.LISTENS_ON, _START),
    Phrase("Started server process [", r"Started server process \[(?P<pid>\d{1,20})\]", Symptom.PROCESS_STARTED, _START),
    Phrase("Finished server process [", r"Finished server process \[(?P<pid>\d{1,20})\]", Symptom.PROCESS_STOPPED),
    Phrase(
        'HTTP/1.1" 5',
        r'INFO: +(?P<client>[\d.a-f:\[\]]{1,255}) - "(?P<request>[A-Z]{1,255} \S{1,255} HTTP/1\.1)" (?P<status>5\d\d)\b',
        Symptom.APPLICATION_ERROR,
    ),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
