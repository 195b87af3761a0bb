"""An application's startup messages, compared with the protocol that its proxy uses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.snapshot import Event, Listener, Snapshot


def speaking(protocol: str, symptom: Symptom, *message: str) -> Snapshot:
    """Return a machine whose application logged these lines when it started to listen, in this order."""
    here = machine(failing(symptom, APP, status=504), routes=(route(APP, 7, protocol=protocol),))
    events = tuple(
        Event(symptom=Symptom.LISTENS_ON, at=NOW - timedelta(minutes=9 - number), message=line, source="journalctl", target=APP)
        for number, line in enumerate(message)
    )
    processes = (*(here.processes or ()), Process(pid=40, name="gunicorn", started_at=NOW - timedelta(minutes=10)))
    return REPLACE(
        here, events=events, processes=processes, listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,)))
    )


@pytest.mark.parametrize(
    ("protocol", "symptom", "message", "expected"),
    [
        ("https", Symptom.TLS_TIMED_OUT, ["[INFO] Listening at: http://127.0.0.1:3000 (126)"], True),
        ("https", Symptom.TLS_TIMED_OUT, ["INFO:     Uvicorn running on http://127.0.0.1:3000 (Press CTRL+C to quit)"], True),
        ("http", Symptom.CLOSED_BEFORE_HEADER, ["* Listening on ssl://127.0.0.1:3000?cert=x"], True),
        ("https", Symptom.TLS_TIMED_OUT, ["[INFO] Listening at: https://127.0.0.1:3000 (126)"], False),
        ("https", Symptom.TLS_TIMED_OUT, ["Listening at: http://127.0.0.1:3000", "Listening at: https://127.0.0.1:3000"], False),
        ("https", Symptom.TLS_TIMED_OUT, ["listening on 127.0.0.1:3000"], False),
        ("http", Symptom.READ_TIMED_OUT, ["Now listening on: http://127.0.0.1:3000"], False),
        ("fastcgi", Symptom.READ_TIMED_OUT, ["Listening at: http://127.0.0.1:3000"], False),
    ],
)
def test_the_scheme_that_an_application_names(protocol: str, symptom: Symptom, message: list[str], expected: bool) -> None:
    found = diagnose(speaking(protocol, symptom, *message)).findings
    assert (found[0].cause == "wrong-protocol") is expected
