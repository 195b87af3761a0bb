"""An error that killed a process which served, and then the next one soon after its start, is no failed start."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, machine
from test_what_fails_now import UNIT, WAY, cut, service, told

from why502.diagnosis.engine import diagnose
from why502.model.logs import Symptom

WORDS = "TypeError: Cannot read properties of undefined (reading 'trim')"


@pytest.mark.parametrize(
    ("first_s", "is_crash"), [(10.0, True), (60.0, False)], ids=["the words of the first death", "older words of its own"]
)
def test_a_request_that_kills_each_process(first_s: float, is_crash: bool) -> None:
    events = (
        told(Symptom.PROCESS_STARTED, 300, f"Started {UNIT}.", count=2, last=NOW - timedelta(seconds=6)),
        told(Symptom.APPLICATION_ERROR, first_s, WORDS, count=2, last=NOW - timedelta(seconds=3)),
        told(Symptom.PROCESS_CRASHED, 10, "Node.js v18.20.4", pid=40),
        told(Symptom.PROCESS_CRASHED, 3, "Node.js v18.20.4", pid=41),
    )
    app = REPLACE(
        service(),
        state="activating",
        substate="auto-restart",
        is_running=False,
        result="exit-code",
        exit_code=1,
        started_at=NOW - timedelta(seconds=6),
        reason=(WORDS,),
        targets=(APP,),
    )
    cuts = (cut(Symptom.CLOSED_BEFORE_HEADER, 10, 10, 1), cut(Symptom.CONNECT_REFUSED, 10, 1, 90))
    first = diagnose(machine(*cuts, routes=(WAY,), events=events, services=(app,))).findings[0]
    assert first.cause == ("backend-crashed" if is_crash else "backend-startup-failure")
