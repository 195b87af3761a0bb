"""Failures of this machine's own network are not those of its members."""

from __future__ import annotations

import json

import pytest
from members_of import result

from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.snapshot import Lookup, Resolution, Snapshot
from why502.model.target import Target
from why502.watch.checks.sight import AGAIN_S, ROUND_S, Sight
from why502.watch.model import CheckResult

ONE, OTHER, HERE = Target(host="10.0.1.5", port=80), Target(host="10.0.2.5", port=80), Target(host="127.0.0.1", port=80)
LATE = Symptom.CONNECT_TIMED_OUT


class Machine(LocalHost):
    """A machine with a gateway in a given state, and name servers."""

    def __init__(self, *, neighbour: str = "REACHABLE", gateway: str = "10.0.0.1", refusal: str = "", servers: str = "") -> None:
        super().__init__()
        self.neighbour, self.gateway, self.refusal, self.servers = neighbour, gateway, refusal, servers
        self.looks = 0

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        self.looks += 1
        if self.refusal:
            return Finished(status=2, stdout="", stderr=self.refusal)
        row = {"dev": "eth0", "gateway": self.gateway} if "route" in argv else {"state": [self.neighbour]}
        return Finished(status=0, stdout=json.dumps([row]), stderr="")

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        if path == "/etc/resolv.conf":
            return self.servers.encode()
        raise HostError("not here")


def answers(outcome: Lookup):
    return lambda host, name, server: Resolution(name=name, source=str(server), outcome=outcome)


def judged(host: Machine, *failed: Target, outcome: Lookup = Lookup.OK, **fields: object) -> list[CheckResult]:
    sight = Sight(host, answers(outcome))
    sight.update(Snapshot(taken_at=result().at, addresses=("10.0.9.9",)))
    return [sight.judged(result(LATE, target), float(number)) for number, target in enumerate(failed)]


@pytest.mark.parametrize(
    ("host", "outcome", "reason"),
    [
        (Machine(neighbour="FAILED"), Lookup.OK, "the next hop 10.0.0.1 on eth0 does not answer ARP (FAILED)"),
        (Machine(refusal="RTNETLINK answers: Network is unreachable"), Lookup.OK, "this machine has no route to 10.0.1.5"),
        (Machine(servers="nameserver 10.0.0.2\n"), Lookup.TIMED_OUT, "name server 10.0.0.2:53 does not answer"),
    ],
)
def test_two_machines_that_fail_with_the_network_are_unknown(host, outcome, reason):
    first, second = judged(host, ONE, OTHER, outcome=outcome)
    assert first.symptom is LATE, "one alone may be the member's own failure"
    assert (second.is_unknown, second.symptom) == (True, None)
    assert second.reason == f"this machine's own network fails: {reason}"


@pytest.mark.parametrize(
    "host",
    [
        Machine(),
        Machine(neighbour="FAILED", gateway=""),  # a neighbour that is dead itself
        Machine(servers="nameserver 10.0.0.2\n"),
    ],
)
def test_two_members_that_fail_while_the_network_works_are_down(host):
    assert [one.symptom for one in judged(host, ONE, OTHER)] == [LATE, LATE]


def test_members_on_one_machine_or_on_this_one_say_nothing_about_the_network():
    host = Machine(neighbour="FAILED")
    same = Target(host=ONE.host, port=81)
    assert [one.symptom for one in judged(host, ONE, same, HERE, Target(host="10.0.9.9", port=80))] == [LATE] * 4
    assert host.looks == 0


def test_the_network_is_looked_at_rarely_and_works_again_when_a_member_answers():
    host = Machine(neighbour="FAILED")
    sight = Sight(host, answers(Lookup.OK))
    for number in range(20):
        sight.judged(result(LATE, (ONE, OTHER)[number % 2]), number / 10)
    looks = host.looks
    assert sight.reason
    sight.judged(result(LATE, ONE), 1 + AGAIN_S)
    assert host.looks > looks
    sight.judged(result(None, OTHER), 2 + AGAIN_S)
    assert sight.reason == ""


def test_failures_long_apart_are_not_together():
    sight = Sight(Machine(neighbour="FAILED"), answers(Lookup.OK))
    sight.judged(result(LATE, ONE), 0.0)
    assert sight.judged(result(LATE, OTHER), ROUND_S + 1).symptom is LATE


def test_a_refusal_is_an_answer_of_the_machine():
    sight = Sight(Machine(neighbour="FAILED"), answers(Lookup.OK))
    sight.judged(result(Symptom.CONNECT_REFUSED, ONE), 0.0)
    assert sight.judged(result(Symptom.CONNECT_REFUSED, OTHER), 1.0).symptom is Symptom.CONNECT_REFUSED
