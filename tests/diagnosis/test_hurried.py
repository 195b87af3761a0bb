"""A request of ours that gave up before the gateway would have says nothing against a target that serves all its clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.finding import Verdict
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=9000)
PLACE = Position(file="/etc/haproxy/haproxy.cfg", line=9)


@pytest.mark.parametrize(
    ("waits_s", "requests", "failures", "served_s", "is_healthy"),
    [
        (15.0, 86, 0, 2, True),
        (5.0, 86, 0, 2, False),
        (15.0, 6, 0, 2, False),
        (15.0, 86, 3, 2, False),
        (15.0, 86, 0, 12, False),
    ],
    ids=["all are served", "the gateway waits no longer", "few requests", "some failed", "none was served of late"],
)
def test_a_busy_target_that_serves_all(waits_s: float, requests: int, failures: int, served_s: int, is_healthy: bool) -> None:
    served = NOW - timedelta(seconds=served_s)
    route = Route(passes="fpm", protocol="http", at=PLACE, peers=(Peer(name=str(APP), target=APP),), read_timeout_s=waits_s)
    late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="haproxy", target=APP, status=504, count=failures, first=NOW, last=NOW)
    here = Snapshot(
        taken_at=NOW,
        proxies=(Proxy(kind="haproxy", pid=5, routes=(route,)),),
        listeners=(Listener(target=APP, pids=(40,), queued=8),),
        probes=(Probe(target=APP, request="GET /", symptom=Symptom.READ_TIMED_OUT, total_s=5.0, at=NOW, route_at=PLACE),),
        logs=LogSummary(
            requests=requests,
            tallies=(late,) if failures else (),
            targets=(TargetTraffic(target=APP, attempts=requests, failures=failures, last_success=served),),
        ),
    )
    assert (diagnose(here).verdict is Verdict.HEALTHY) is is_healthy
