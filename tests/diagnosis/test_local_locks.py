"""Sessions over a unix socket show no client: the user who runs the application links them to it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8008)


def sessions(role: str, *does: str) -> Snapshot:
    """Return a machine where requests time out, with sessions of one role at its PostgreSQL."""
    late = Tally(symptom=Symptom.READ_TIMED_OUT, target=APP, proxy="nginx", status=504, count=9, first=NOW, last=NOW)
    titles = [
        Process(pid=90 + n, ppid=89, argv=(f"postgres: 15/main: {role} {role} [local] {what}",)) for n, what in enumerate(does)
    ]
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(218,)),),
        processes=(
            Process(pid=218, ppid=1, name="apache2", user="root"),
            Process(pid=243, ppid=218, name="apache2", user="council"),
            *titles,
        ),
        logs=LogSummary(tallies=(late,), has_access=True),
    )


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (sessions("council", "SELECT", "ALTER TABLE waiting", "SELECT waiting", "SELECT waiting"), True),
        (sessions("council", "SELECT", "idle in transaction", "SELECT waiting", "idle"), False),
        (sessions("reports", "ALTER TABLE waiting", "SELECT waiting", "SELECT waiting"), False),
    ],
    ids=["behind a lock", "one waits", "of another user"],
)
def test_sessions_of_the_applications_user_that_wait_for_a_lock(here: Snapshot, expected: bool) -> None:
    assert (diagnose(here).findings[0].cause == "backend-dependency-slow") is expected
