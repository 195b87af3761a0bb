"""The rules of the packet filter are read only where a connection failed, and what could not be read is a gap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest

from why502.collectors import firewall
from why502.collectors.base import CollectOptions
from why502.host.base import Finished, Host
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.snapshot import NetworkSpace, Snapshot
from why502.model.target import Target

CHAIN = '"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"'
NFT = f'{{"nftables": [{{"chain": {{{CHAIN}}}}}]}}'
XT = '{"nftables": [{"rule": {"family": "ip", "table": "filter", "chain": "INPUT", "expr": [{"xt": {"name": "multiport"}}]}}]}'
SAVED = "*filter\n:INPUT ACCEPT [0:0]\n[1:60] -A INPUT -p tcp -m multiport --dports 3000 -j REJECT\nCOMMIT\n"


INSIDE, PID = "4026532000", 812


class Machine:
    """A host with what some programs write; the others are missing."""

    def __init__(self, legacy: bytes = b"", inode: str = INSIDE, **outputs: str) -> None:
        self.outputs = outputs
        self.legacy = legacy
        self.inode = inode
        self.asked: list[str] = []

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        """Return the output."""
        assert timeout_s <= firewall.LIMIT_S
        if argv[0] == "nsenter":
            assert argv[1] == f"--net=/proc/{PID}/ns/net"
            argv = (f"inside_{argv[2]}",)
        self.asked.append(argv[0])
        if argv[0] not in self.outputs:
            raise HostError("no such program")
        text = self.outputs[argv[0]]
        return Finished(status=1, stdout="", stderr=text) if text.startswith("Op") else Finished(status=0, stdout=text, stderr="")

    def read(self, path: str, **_: object) -> bytes:
        """Return the tables of the old iptables."""
        assert path in ("/proc/net/ip_tables_names", f"/proc/{PID}/net/ip_tables_names")
        return self.legacy

    def link(self, path: str) -> str:
        """Return the namespace of the process."""
        assert path == f"/proc/{PID}/ns/net"
        return f"net:[{self.inode}]"


def collected(
    machine: Machine, symptom: Symptom | None = Symptom.CONNECT_TIMED_OUT, to: str = "127.0.0.1:3000"
) -> tuple[list[str] | None, list[str]]:
    """Return the verdicts with their chains and namespaces, and the reasons of gaps."""
    probe = Probe(target=Target.parse(to), symptom=symptom)
    known = Snapshot(
        taken_at=datetime.now(UTC),
        probes=(probe,),
        proxies=(Proxy(kind="nginx", pid=1),),
        networks=(NetworkSpace(inode=INSIDE, pid=PID, name="web (3f9a)", container="3f9a", addresses=("172.17.0.3",)),),
    )
    found = firewall.collect(cast(Host, machine), known, CollectOptions())
    rules = None if found.value is None else [f"{rule.verdict.value} {rule.chain} {rule.network}".strip() for rule in found.value]
    return rules, [gap.reason for gap in found.gaps]


def test_the_rules_of_the_container_that_the_target_is_in() -> None:
    machine = Machine(nft='{"nftables": []}', inside_nft=NFT)
    assert collected(machine, to="172.17.0.3:3000") == ([f"drop ip t c {INSIDE}"], [])
    assert collected(machine, to="172.17.0.4:3000") == ([], [])


def test_rules_of_a_container_that_cannot_be_read_are_a_gap() -> None:
    rules, gaps = collected(Machine(nft=NFT, inside_nft="Operation not permitted"), to="172.17.0.3:3000")
    assert rules == ["drop ip t c"]
    assert gaps == ["the rules inside container web (3f9a) were not read: nsenter: Operation not permitted"]


def test_a_namespace_that_another_process_has_now_is_not_the_containers() -> None:
    rules, gaps = collected(Machine(inode="4026539999", nft=NFT, inside_nft=NFT), to="172.17.0.3:3000")
    assert rules == ["drop ip t c"]
    assert gaps == ["the rules inside container web (3f9a) were not read: its process has ended"]


def test_nothing_is_asked_where_no_connection_failed() -> None:
    machine = Machine(nft=NFT)
    assert collected(machine, None) == (None, [])
    assert machine.asked == []


def test_nft_is_enough() -> None:
    machine = Machine(nft=NFT)
    assert collected(machine) == (["drop ip t c"], [])
    assert machine.asked == ["nft"]


def test_rules_that_nft_cannot_show() -> None:
    machine = Machine(nft=XT, **{"iptables-save": SAVED})
    assert collected(machine) == (["reject ip filter INPUT"], [])
    assert machine.asked == ["nft", "iptables-save", "ip6tables-save"]


def test_the_old_iptables_beside_nft() -> None:
    machine = Machine(b"filter\n", nft=NFT, **{"iptables-legacy-save": SAVED})
    assert collected(machine) == (["drop ip t c", "reject ip filter INPUT"], [])


@pytest.mark.parametrize("outputs", [{}, {"nft": "Operation not permitted (you must be root)"}])
def test_what_cannot_be_read_is_a_gap(outputs: dict[str, str]) -> None:
    rules, gaps = collected(Machine(**outputs))
    assert rules is None and len(gaps) == 1 and "were not read" in gaps[0]


def test_no_rules_are_none() -> None:
    assert collected(Machine(nft='{"nftables": []}')) == ([], [])
