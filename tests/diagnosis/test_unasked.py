"""A dead target that nobody asks for comes behind the one whose clients fail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import ConfigTest, Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 25, 21, 0, tzinfo=UTC)
ASKED, IDLE = Target(host="127.0.0.1", port=3000), Target(host="127.0.0.1", port=3001)


def route(target: Target, line: int) -> Route:
    at = Position(file="/etc/nginx/nginx.conf", line=line)
    peers = (Peer(name=str(target), target=target, at=at),)
    return Route(at=at, location=f"/{line}", passes=f"http://{target}", protocol="http", directive="proxy_pass", peers=peers)


@pytest.mark.parametrize("asked", [ASKED, IDLE])
def test_what_clients_ask_for_leads(asked: Target) -> None:
    late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="nginx", target=ASKED, status=504, count=4, first=NOW, last=NOW)
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="nginx", target=IDLE, status=502, count=9, first=NOW, last=NOW)
    here = Snapshot(
        taken_at=NOW,
        proxies=(Proxy(pid=5, test=ConfigTest.OK, routes=(route(ASKED, 7), route(IDLE, 8))),),
        listeners=(Listener(target=ASKED, pids=(9,)),),
        processes=(),
        services=(),
        logs=LogSummary(tallies=(late,) if asked == ASKED else (late, refused), requests=50, has_access=True),
    )
    found = [one for one in diagnose(here).findings if one.confidence >= 0.5]
    assert found[0].target == asked
