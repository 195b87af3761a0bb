"""Unicorn's log, with its forks (lib/unicorn/http_server.rb, socket_helper.rb): Ruby's Logger format."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "unicorn"
_START = Phase.STARTUP
_HEAD = lazy(
    r"[DIWEFA], \[\d{4}-\d\d-\d\dT[\d:.]+ #\d+\] +[A-Z]+ -- : (?:worker=|master |reaped |listening on addr|Refreshing Gem)"
)
PHRASES = (
    Phrase(
        "timeout (",
        r"worker=\d{1,20} PID:(?P<pid>\d{1,20}) (?P<detail>timeout \(\d{1,20}s > \d{1,20}s\), killing)",
        Symptom.WORKER_TIMED_OUT,
    ),
    Phrase("reaped #<Process::Status: pid", r"pid (?P<pid>\d{1,20}) (?P<detail>SIG(?:TERM|QUIT|INT) \(signal \d{1,20}\))", None),
    Phrase(
        "reaped #<Process::Status: pid",
        r"pid (?P<pid>\d{1,20}) (?P<detail>(?P<signal>SIG[A-Z]{1,255}) \(signal \d{1,20}\))",
        Symptom.PROCESS_CRASHED,
    ),
    Phrase("reaped #<Process::Status: pid", r"pid (?P<pid>\d{1,20}) (?P<detail>exit (?P<code>[1-9]\d*))", Symptom.PROCESS_EXITED),
    Phrase(
        "adding listener failed",
        r"(?P<detail>adding listener failed) addr=(?P<address>\S{1,255}) \(in use\)",
        Symptom.ADDRESS_IN_USE,
        _START,
    ),
    Phrase("-- : Already running on PID", r"(?P<detail>Already running on PID:\d{1,20}.*)", Symptom.START_FAILED, _START),
    Phrase("-- : app error: ", r"app error: (?P<detail>.*)", Symptom.APPLICATION_ERROR),
    Phrase("listening on addr=", r"listening on addr=(?P<address>\S+)", Symptom.LISTENS_ON, _START),
    Phrase("-- : master process ready", r"(?P<detail>master process ready)", Symptom.PROCESS_STARTED, _START),
    Phrase("-- : master complete", r"(?P<detail>master complete)", Symptom.PROCESS_STOPPED),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _HEAD)
