"""Sessions over a unix socket show no client: the user who runs the application links them to it. Those that a gateway opens
show the gateway as their client.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Dependency, Listener, Snapshot
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


@pytest.mark.parametrize(
    ("door", "does", "expected"),
    [
        (6432, "SELECT waiting", True),
        (6432, "SELECT", False),
        (6400, "SELECT waiting", False),
    ],
    ids=["behind a lock", "at work", "another gateway's"],
)
def test_sessions_that_wait_at_a_database_behind_a_gateway(door: int, does: str, expected: bool) -> None:
    """The application's connections end at the gateway, which passes them on to PostgreSQL."""
    here = sessions("nobody")
    database, entrance = Target(host="127.0.0.1", port=5432), Target(host="127.0.0.1", port=6432)
    way = Route(passes="127.0.0.1:5432", protocol="tcp", listens=("127.0.0.1:6432",), peers=(Peer(name="x", target=database),))
    titles = tuple(
        Process(pid=90 + n, ppid=89, argv=(f"postgres: 15/main: sky sky 127.0.0.1({38800 + n}) {does}",)) for n in range(4)
    )
    (proxy,) = here.proxies or ()
    waits = Dependency(
        target=APP, peer=msgspec.structs.replace(entrance, port=door), busy=9, waiting=1, is_heard=True, pid=1, process="nginx"
    )
    here = msgspec.structs.replace(
        here,
        proxies=(msgspec.structs.replace(proxy, routes=(*proxy.routes, way)),),
        listeners=(*(here.listeners or ()), Listener(target=database, pids=(89,)), Listener(target=entrance, pids=(1,))),
        processes=(*(here.processes or ()), Process(pid=89, ppid=1, name="postgres"), *titles),
        dependencies=(waits,),
    )
    first = diagnose(here).findings[0]
    assert (first.cause == "backend-dependency-slow") is expected
    assert ("nginx (127.0.0.1:6432)" in first.message) is expected
