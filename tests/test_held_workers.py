"""Workers that are all held: of the gateway itself, or of a backend by one slow route."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis import diagnose
from why502.model.config import Peer, Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import LogSummary
from why502.model.snapshot import Listener, Process, Proxy, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BACKEND = Target(host="127.0.0.1", port=8009)


def _first(here: Snapshot) -> Finding | None:
    """Return the finding that leads, if one is asserted."""
    return next((finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED), None)


def _gateway(kind: str, waiting: int, state: str = "S") -> Snapshot:
    """Return a machine where so many clients wait to be accepted by its gateway, and nothing is in any log."""
    route = Route(proxy=kind, peers=(Peer(name=str(BACKEND), target=BACKEND),))
    worker = Process(pid=4, ppid=3, name=kind, state=state)
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(kind=kind, pid=3, routes=(route,), workers=(worker,)),),
        listeners=(
            Listener(target=Target(host="::", port=80), pids=(3, 4), queued=waiting, backlog=511),
            Listener(target=BACKEND, pids=(9,), queued=0),
        ),
        logs=LogSummary(requests=40, by_status={"200": 40}, has_access=True, has_error=True),
    )


def test_clients_that_wait_for_a_worker_of_apache_are_in_no_log() -> None:
    first = _first(_gateway("apache", 36))
    assert first is not None and first.cause == "worker-connections-exhausted"
    assert "36 clients wait to be accepted" in first.says


@pytest.mark.parametrize(("kind", "waiting", "state"), [("apache", 3, "S"), ("nginx", 36, "S"), ("apache", 36, "T")])
def test_a_short_queue_and_a_stopped_gateway_are_no_lack_of_workers(kind: str, waiting: int, state: str) -> None:
    first = _first(_gateway(kind, waiting, state))
    assert first is None or first.cause != "worker-connections-exhausted"
