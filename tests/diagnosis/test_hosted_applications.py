"""A daemon that Apache itself starts sends an incomplete header: it was killed, or its header is too large."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.logs import LogFile, LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)


def told(symptom: Symptom, code: str) -> Tally:
    at = NOW - timedelta(minutes=1)
    return Tally(symptom=symptom, proxy="apache", code=code, count=9, first=at, last=at + timedelta(seconds=40))


@pytest.mark.parametrize(
    ("is_killed", "age_s", "cause"),
    [(True, 20, "backend-crashed"), (False, 900, "response-header-too-big"), (False, 20, "premature-close")],
    ids=["killed", "alive", "restarted"],
)
def test_a_daemon_sent_no_whole_header(is_killed: bool, age_s: float, cause: str) -> None:
    daemon = Process(pid=9, name="apache2", argv=("(wsgi:museum)    ", "-k"), started_at=NOW - timedelta(seconds=age_s))
    tallies = [told(Symptom.CLOSED_BEFORE_HEADER, "mod_wsgi"), *([told(Symptom.PROXY_WORKER_DIED, "AH00052")] * is_killed)]
    logs = LogSummary(files=(LogFile(path="/var/log/apache2/error.log", lines=9),), tallies=tuple(tallies))
    proxy = Proxy(kind="apache", pid=1, workers=(daemon,))
    found = diagnose(Snapshot(taken_at=NOW, since=NOW - timedelta(minutes=15), proxies=(proxy,), events=(), logs=logs))
    assert found.findings[0].cause == cause
