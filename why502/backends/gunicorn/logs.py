"""Gunicorn's error log, 19 to 27 (gunicorn/arbiter.py, sock.py, workers/base.py, glogging.py).

"was sent SIGKILL! Perhaps out of memory?" is said of every SIGKILL, also of gunicorn's own after WORKER TIMEOUT.
"""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "gunicorn"
_HEAD = lazy(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [+-]\d{4})?\] \[\d+\] \[[A-Z]+\] ")
_START = Phase.STARTUP
_PLACE = r"(?P<address>\('[^']*', \d+\)|\S+)"
PHRASES = (
    Phrase("WORKER TIMEOUT", r"(?P<detail>WORKER TIMEOUT) \(pid: ?(?P<pid>\d{1,20})\)", Symptom.WORKER_TIMED_OUT),
    Phrase("was sent SIG", r"Worker \(pid: ?(?P<pid>\d{1,20})\) (?P<detail>was sent SIG(?:TERM|INT|QUIT|HUP|USR\d)!)", None),
    Phrase(
        "was sent SIG",
        r"Worker \(pid: ?(?P<pid>\d{1,20})\) (?P<detail>was sent (?P<signal>SIG\w{1,100})!.*)",
        Symptom.PROCESS_CRASHED,
    ),
    Phrase("terminated due to signal", r"Worker with pid (?P<pid>\d{1,20}) (?P<detail>was terminated due to signal 15)", None),
    Phrase(
        "terminated due to signal",
        r"Worker with pid (?P<pid>\d{1,20}) (?P<detail>was terminated due to signal (?P<signal>\d+))",
        Symptom.PROCESS_CRASHED,
    ),
    Phrase(
        "exited with code",
        r"Worker \(pid: ?(?P<pid>\d{1,20})\) (?P<detail>exited with code (?P<code>[34])\b)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "exited with code",
        r"Worker \(pid: ?(?P<pid>\d{1,20})\) (?P<detail>exited with code (?P<code>[1-9]\d*))",
        Symptom.PROCESS_EXITED,
    ),
    Phrase("Worker failed to boot", r"(?P<detail>Worker failed to boot)", Symptom.START_FAILED, _START),
    Phrase(
        "self.halt(reason=inst.reason",
        r"(?P<detail>self\.halt\(reason=inst\.reason, exit_status=inst\.exit_status\))",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "raise HaltServer(",  # of a traceback that was cut before its last line
        r"(?P<detail>raise HaltServer\(reason, self\.(?:WORKER_BOOT|APP_LOAD)_ERROR\))",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("App failed to load", r"(?P<detail>App failed to load)", Symptom.START_FAILED, _START),
    Phrase("Exception in worker process", r"\] (?P<detail>Exception in worker process)", Symptom.START_FAILED, _START),
    Phrase(
        "Failed to find a",
        r"(?P<detail>Failed to find (?:attribute '[^']{0,200}' in|application object '?[^']{0,200}'? in) .*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase(
        "Failed to parse '", r"^(?P<detail>Failed to parse '[^']{0,255}' as an attribute name.*)", Symptom.START_FAILED, _START
    ),
    Phrase("Connection in use: ", r"(?P<detail>Connection in use): " + _PLACE, Symptom.ADDRESS_IN_USE, _START),
    Phrase(
        "Address already in use",
        r"\] (?P<detail>connection to " + _PLACE + r" failed: \[Errno (?P<errno>98)\] Address already in use)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase(
        "failed: [Errno ",
        r"\] (?P<detail>connection to " + _PLACE + r" failed: \[Errno (?P<errno>\d{1,20})\].*)",
        Symptom.START_FAILED,
        _START,
    ),
    Phrase("Invalid address: ", r"\] (?P<detail>Invalid address: " + _PLACE + ")", Symptom.START_FAILED, _START),
    Phrase("Can't connect to ", r"\] (?P<detail>Can't connect to " + _PLACE + ")", Symptom.START_FAILED, _START),
    Phrase("invalid or not found", r"(?P<detail>class uri '[^']{1,255}' invalid or not found.*)", Symptom.START_FAILED, _START),
    Phrase(
        "Invalid request from ip=",
        r"Invalid request from ip=(?P<client>\S{1,255}): (?P<detail>[Ll]imit request (?:headers? |headers? fields? |line |fields? )?.*)",
        Symptom.REQUEST_HEADER_TOO_BIG,
    ),
    Phrase(
        "Invalid request from ip=",
        r"Invalid request from ip=(?P<client>\S{1,255}): (?P<detail>Request Line is too large.*)",
        Symptom.REQUEST_HEADER_TOO_BIG,
    ),
    Phrase(
        "Invalid request from ip=",
        r"Invalid request from ip=(?P<client>\S{1,255}): (?P<detail>.{0,2048}\\x16\\x03.*)",
        Symptom.OTHER_PROTOCOL,
    ),
    Phrase(
        "Invalid request from ip=", r"Invalid request from ip=(?P<client>\S{1,255}): (?P<detail>.*)", Symptom.CLIENT_BAD_REQUEST
    ),
    Phrase("Error handling request", r"\] (?P<detail>Error handling request) (?P<request>.*)", Symptom.APPLICATION_ERROR),
    Phrase("Listening at: ", r"\] Listening at: (?P<address>[^\s,(]+)", Symptom.LISTENS_ON, _START),
    Phrase("Starting gunicorn ", r"(?P<detail>Starting gunicorn [\d.]+)", Symptom.PROCESS_STARTED, _START),
    Phrase("Shutting down: Master", r"(?P<detail>Shutting down: Master)", Symptom.PROCESS_STOPPED),
    Phrase("Handling signal: ", r"\] (?P<detail>Handling signal: (?:hup|usr2))", Symptom.PROCESS_RELOADED),
    Phrase("Handling signal: ", r"\] (?P<detail>Handling signal: (?:term|int|quit))", Symptom.PROCESS_STOPPED),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
