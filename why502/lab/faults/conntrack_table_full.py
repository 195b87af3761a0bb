"""conntrack-table-full: the connection tracking table is full, and packets are dropped."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import nginx_unit
from why502.lab.stage import Stage
from why502.model.finding import Layer


def conntrack(stage: Stage) -> str:
    """Break it: the connection tracking table has a few places, and all are taken."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    rules = "table inet lab {\nchain in {\ntype filter hook input priority 0\nct state invalid drop\n}\n}\n"
    stage.sh("nft", "-f", "-", stdin=rules)
    nginx_unit(stage, target, "proxy_connect_timeout 1s;")
    stage.send_many(3)
    stage.sh("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_max=8")
    for _ in range(4):
        stage.send_many(4, at_once=4, patience_s=4.0)
    return target


fault = partial(Fault, cause="conntrack-table-full", layer=Layer.PLATFORM, needs=frozenset({"vm"}))
FAULTS = (
    fault(
        name="conntrack-table-full",
        message="the connection tracking table is full, and packets are dropped",
        build=conntrack,
        statuses=frozenset({200}),
        ongoing=None,
    ),
)
