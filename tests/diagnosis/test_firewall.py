"""Which firewall rule is named as the one that stops connections, and how sure that is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from why502.diagnosis import firewall
from why502.diagnosis.case import Case
from why502.model.finding import FAIR, PROOF, STRONG
from why502.model.firewall import Condition, FirewallRule, Subject, Verdict
from why502.model.snapshot import NetworkPath
from why502.model.target import Target


def rule(
    verdict: str,
    *conditions: Condition,
    hook: str = "input",
    packets: int | None = None,
    base: str = "inet t c",
    inside: str = "",
) -> FirewallRule:
    """Return a rule; `inside`: the network namespace that it is in."""
    return FirewallRule(
        direction=hook,
        base=base,
        chain=base,
        verdict=Verdict(verdict),
        text=verdict,
        conditions=conditions,
        packets=packets,
        network=inside,
    )


def when(subject: Subject, *values: str, negated: bool = False) -> Condition:
    """Return a condition."""
    return Condition(subject=subject, values=values, is_negated=negated)


def weights(
    *rules: FirewallRule,
    to: str = "127.0.0.1:3000",
    network: str = "",
    shares: bool = False,
    home: str | None = None,
    is_away: bool = False,
    device: str = "",
) -> list[float]:
    """Return the weight of each rule that stops connections to a target, the sure ones first."""
    found = stops(*rules, to=to, network=network, shares=shares, home=home, is_away=is_away, device=device)
    return [stop.weight for stop in found]


def stops(
    *rules: FirewallRule,
    to: str,
    network: str = "",
    shares: bool = False,
    home: str | None = None,
    is_away: bool = False,
    device: str = "",
) -> tuple[firewall.Stop, ...]:
    """Return the rules that stop connections from one namespace to a target in another, or on another machine."""
    joins = SimpleNamespace(homes=SimpleNamespace(name=lambda inode: f"container {inode}"))
    machine = SimpleNamespace(firewall=rules)
    here, host = (SimpleNamespace(firewall=None), machine) if is_away else (machine, machine)
    path = NetworkPath(address="192.0.2.7", device=device) if device else None
    case = SimpleNamespace(
        target=Target.parse(to), here=here, host=host, network=network, shares_network=shares, home=home, joins=joins, path=path
    )
    return firewall.stops(cast(Case, case))


TCP = when(Subject.PROTOCOL, "tcp")
PORT = when(Subject.PORT, "3000")
OTHER = when(Subject.OTHER)
OF_OTHER_PORT = when(Subject.PORT, "80", "4000-5000")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((rule("drop", TCP, PORT),), [PROOF]),
        ((rule("drop", PORT, packets=0),), [STRONG]),
        ((rule("drop", PORT, packets=9),), [PROOF]),
        ((rule("drop", OF_OTHER_PORT),), []),
        ((rule("drop", when(Subject.PORT, "2000-4000")),), [PROOF]),
        ((rule("drop", when(Subject.PORT, "3000", negated=True)),), []),
        ((rule("drop", when(Subject.PROTOCOL, "udp")),), []),
        ((rule("accept", PORT), rule("drop", PORT)), []),
        ((rule("accept", OF_OTHER_PORT), rule("drop")), [PROOF]),
        ((rule("accept", when(Subject.STATE, "established")), rule("drop")), [PROOF]),
        ((rule("accept", when(Subject.INTERFACE_IN, "lo")), rule("drop")), []),
        ((rule("accept", OTHER), rule("drop", PORT, packets=3)), [FAIR]),
        ((rule("accept", OTHER), rule("drop")), [0.0]),
        ((rule("drop", OTHER, packets=3),), [FAIR]),
        ((rule("", OTHER), rule("reject", PORT)), [0.0]),
        ((rule("drop", when(Subject.DESTINATION, "10.0.0.0/8")),), []),
        ((rule("drop", when(Subject.DESTINATION, "127.0.0.0/8")),), [PROOF]),
        ((rule("drop", PORT, hook="forward"),), []),
        ((rule("drop", PORT, base="ip6 t c"),), []),
        ((rule("accept", base="inet t a"), rule("drop", PORT, base="inet t b")), [PROOF]),
    ],
)
def test_the_first_rule_that_applies_decides(rules: tuple[FirewallRule, ...], expected: list[float]) -> None:
    assert weights(*rules) == expected


def test_what_comes_in_is_no_connection_to_another_machine() -> None:
    assert weights(rule("drop", PORT), to="192.0.2.7:3000") == []
    assert weights(rule("drop", PORT, hook="output"), to="192.0.2.7:3000") == [PROOF]
    assert weights(rule("drop", PORT), to="192.0.2.7:3000", shares=True) == [PROOF]
    assert weights(rule("drop", when(Subject.INTERFACE_OUT, "eth0"), hook="output", packets=1), to="192.0.2.7:3000") == [FAIR]


def test_a_connection_to_another_machine_leaves_by_its_own_device() -> None:
    rules = (rule("accept", when(Subject.INTERFACE_OUT, "lo"), hook="output"), rule("reject", hook="output", packets=48))
    assert weights(*rules, to="192.0.2.7:3000", device="eth0") == [PROOF]
    assert weights(*rules, to="192.0.2.7:3000", device="lo") == []
    assert weights(*rules, to="192.0.2.7:3000") == [0.0]


def test_what_arrives_at_the_other_machine_passes_its_rules() -> None:
    assert weights(rule("drop", PORT), to="192.0.2.7:3000", is_away=True) == [PROOF]
    assert weights(rule("drop", PORT, hook="output"), to="192.0.2.7:3000", is_away=True) == []


def test_a_container_is_forwarded() -> None:
    assert weights(rule("drop", PORT, hook="forward"), to="172.17.0.3:3000", network="4026532000") == [PROOF]
    assert weights(rule("drop", PORT, hook="output"), to="172.17.0.3:3000", network="4026532000") == []


def test_a_name_is_in_no_rule() -> None:
    assert weights(rule("drop"), to="app:3000") == []


def test_words() -> None:
    made = rule("drop", PORT, packets=2)
    assert (
        firewall.words(firewall.Stop(made, True))
        == "the firewall rule `drop` in inet t c drops the connections; 2 packets met it"
    )
    assert "may drop" in firewall.words(firewall.Stop(made, False))


def test_the_rules_of_a_container_are_about_what_enters_or_leaves_it() -> None:
    """The proxy is in container 7, the target in container 8; container 9 is another one."""

    def found(hook: str, inside: str, *before: FirewallRule, to: str = "172.17.0.3:3000") -> list[float]:
        return weights(*before, rule("drop", PORT, hook=hook, inside=inside), to=to, network="7", home="8", shares=False)

    assert found("input", "8") == found("prerouting", "8") == found("output", "7") == found("postrouting", "7") == [PROOF]
    assert found("output", "8") == found("input", "7") == found("input", "9") == found("forward", "8") == []
    by_loopback = rule("accept", when(Subject.INTERFACE_IN, "lo"), inside="8")
    assert found("input", "8", by_loopback) == [PROOF]
    assert found("input", "8", rule("accept", when(Subject.INTERFACE_IN, "eth0"), inside="8")) == [0.0]


def test_a_connection_within_a_container_meets_its_rules_alone() -> None:
    mine, hosts = rule("drop", PORT, inside="7"), rule("drop", PORT)
    assert weights(mine, network="7", shares=True) == [PROOF]
    assert weights(hosts, network="7", shares=True) == []


def test_the_container_of_a_rule_is_named() -> None:
    (stop,) = stops(rule("drop", PORT, packets=3, inside="8"), to="172.17.0.3:3000", home="8")
    assert firewall.words(stop) == (
        "the firewall rule `drop` in inet t c inside container 8 drops the connections; 3 packets met it"
    )
