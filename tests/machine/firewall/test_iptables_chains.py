"""Chains of iptables: what a jump to an empty one means."""

from __future__ import annotations

from datetime import UTC, datetime

from why502.diagnosis.engine import diagnose
from why502.machine.firewall.iptables import parse
from why502.model.config import Peer, Route
from why502.model.firewall import Verdict
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.snapshot import NetworkPath, Snapshot
from why502.model.target import Target

AWAY = Target(host="203.0.113.5", port=8443)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
UFW = """*filter
:INPUT DROP [0:0]
:OUTPUT DROP [0:0]
:ufw-before-logging-output - [0:0]
:ufw-before-output - [0:0]
:ufw-reject-output - [0:0]
:ufw-track-output - [0:0]
[1649:1] -A OUTPUT -j ufw-before-logging-output
[1649:1] -A OUTPUT -j ufw-before-output
[48:1] -A OUTPUT -j ufw-reject-output
[0:0] -A OUTPUT -j ufw-track-output
[984:1] -A ufw-before-output -o lo -j ACCEPT
[48:1] -A ufw-reject-output -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


def test_an_empty_chain_decides_nothing() -> None:
    found = [rule.verdict for rule in parse(UFW, "ip") if rule.direction == "output"]
    assert found == [Verdict.ACCEPT, Verdict.REJECT, Verdict.DROP]


def test_a_target_that_is_no_chain_of_the_table_may_decide_anything() -> None:
    found = parse(UFW.replace(":ufw-track-output - [0:0]\n", "", 1), "ip")
    assert any(rule.verdict is Verdict.UNKNOWN for rule in found)


def test_a_host_that_ufw_rejects_is_not_said_to_be_stopped() -> None:
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, target=AWAY, proxy="nginx", status=502, count=31, first=NOW, last=NOW)
    here = Snapshot(
        taken_at=NOW,
        addresses=("203.0.113.9",),
        proxies=(Proxy(pid=7, routes=(Route(passes="x", peers=(Peer(name="x", target=AWAY),)),)),),
        probes=(Probe(target=AWAY, request="GET /", symptom=Symptom.CONNECT_REFUSED, errno=111, total_s=0.001),),
        paths=(NetworkPath(address=AWAY.host, device="eth0", neighbour="REACHABLE"),),
        firewall=tuple(parse(UFW, "ip")),
        logs=LogSummary(tallies=(refused,), has_access=True),
    )
    assert diagnose(here).findings[0].cause == "connect-rejected"
