"""What a gateway says about its servers, beside our own probe."""

from __future__ import annotations

from datetime import UTC, datetime

from why502.diagnosis.checks import check_all
from why502.diagnosis.peers import called_down, contradictions, described, is_full, views_of
from why502.model.finding import CheckStatus
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

TARGET = Target(host="127.0.0.1", port=3001)
DOWN = PeerView(
    group="app",
    name="s1",
    target=TARGET,
    state=PeerState.DOWN,
    check="L4CON",
    reason="the connection was refused",
    failures=3,
    source="show stat",
)
UP = PeerView(name="127.0.0.1:3001", target=TARGET, state=PeerState.UP, source="/api/http/services")
REFUSED = Probe(target=TARGET, symptom=Symptom.CONNECT_REFUSED, detail="connection refused")
ANSWERED = Probe(target=TARGET, status=200, request="GET /")


def proxy(*peers: PeerView) -> Proxy:
    return Proxy(kind="haproxy", pid=7, peers=peers, admin="unix:/run/s")


def test_a_view_is_one_clause() -> None:
    assert described(proxy(), DOWN) == (
        "haproxy calls 127.0.0.1:3001 (app/s1) down (L4CON: the connection was refused); 3 failures"
    )
    full = PeerView(name="s1", target=TARGET, active=10, queued=4, limit=10)
    assert described(proxy(), full) == "haproxy at 127.0.0.1:3001: 10 active, 4 waiting, limit 10"
    assert is_full(full) and not is_full(DOWN)


def test_only_a_disagreement_is_a_contradiction() -> None:
    assert list(contradictions(proxy(), DOWN, [REFUSED])) == []
    assert list(contradictions(proxy(), UP, [ANSWERED])) == []
    assert "but a probe failed: connection refused" in next(contradictions(proxy(), UP, [REFUSED]))
    assert "but it answers a probe with 200" in next(contradictions(proxy(), DOWN, [ANSWERED]))


def test_the_checklist_names_what_the_gateway_left_out() -> None:
    def step(*probes: Probe, peer: PeerView = DOWN) -> tuple[CheckStatus, str]:
        here = Snapshot(taken_at=datetime(2026, 11, 1, tzinfo=UTC), proxies=(proxy(peer),), probes=probes)
        assert [view for _, view in views_of(here, TARGET)] == [peer]
        assert called_down(here) == ((TARGET,) if peer is DOWN else ())
        found = next(each for each in check_all(here) if each.id == "servers-in-use")
        return found.status, found.detail

    assert step(REFUSED) == (CheckStatus.WARN, f"{described(proxy(), DOWN)} (show stat)")
    assert step(ANSWERED)[1].endswith("but it answers a probe with 200")
    assert step(ANSWERED, peer=UP) == (CheckStatus.PASS, "haproxy at unix:/run/s: 1 servers")
