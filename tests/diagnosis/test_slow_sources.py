"""A source that was too slow leaves its section incomplete: what it would have shown is not ruled out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=3000)
ROUTE = Route(
    location="/",
    at=Position(file="/etc/nginx/sites-enabled/shop", line=9),
    protocol="http",
    peers=(Peer(name="127.0.0.1:3000", target=APP),),
)
REFUSED = Tally(symptom=Symptom.CONNECT_REFUSED, target=APP, status=502, count=6, first=AT, last=AT, proxy="nginx")
HERE = Snapshot(  # every section that a rule about a missing backend needs is there
    taken_at=AT + timedelta(seconds=2),
    proxies=(Proxy(pid=3, routes=(ROUTE,)),),
    listeners=(),
    processes=(),
    containers=(),
    networks=(),
    services=(),
    events=(),
    names=(),
    php_pools=(),
    addresses=("127.0.0.1",),
    probes=(Probe(target=APP, symptom=Symptom.CONNECT_REFUSED, at=AT, request="GET /"),),
    logs=LogSummary(tallies=(REFUSED,), requests=6),
)


def test_what_was_looked_at_in_full_is_sure() -> None:
    first = diagnose(HERE).findings[0]
    assert (first.cause, first.confidence >= 0.8) == ("backend-not-running", True)


@pytest.mark.parametrize("section", ["services", "events"])
def test_what_a_slow_source_would_have_shown_is_not_ruled_out(section: str) -> None:
    """On a starved machine `systemctl` or the journal takes longer than its limit, while the others answer."""
    gap = Gap(source="systemd", reason="/usr/bin/systemctl: did not finish within 3 s", section=section)
    first = diagnose(msgspec.structs.replace(HERE, gaps=(gap,))).findings[0]
    assert first.confidence < ASSERTED, first
    assert any(f"{section} timed out, so another cause is possible" in item.message for item in first.evidence)


def test_a_manager_that_did_answer_for_the_target_is_believed() -> None:
    """Another manager was too slow; the one that owns the target reports what became of it."""
    stopped = Service(manager="systemd", name="shop.service", state="inactive", is_running=False, targets=(APP,))
    gap = Gap(source="pm2", reason="/usr/bin/pm2: did not finish within 3 s", section="services")
    first = diagnose(msgspec.structs.replace(HERE, services=(stopped,), gaps=(gap,))).findings[0]
    assert (first.cause, first.confidence >= ASSERTED) == ("backend-not-running", True)
