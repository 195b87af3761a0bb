"""Which rule of a packet filter stops connections to a target: the machine's, the proxy's container's, or the target's.

Sources: nft(8), iptables(8): the first rule that applies and has a verdict decides, in each chain by itself.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from why502.diagnosis.case import Case
from why502.model.finding import FAIR, PROOF, STRONG, Evidence, supports
from why502.model.firewall import Condition, FirewallRule, Subject, Verdict
from why502.model.target import Target

_OUTWARD = frozenset({"output", "postrouting"})
_INWARD = frozenset({"input", "prerouting"})
_HOOKS_OF_CONTAINERS = frozenset({"forward", "input", "prerouting", "postrouting"})


@dataclass(frozen=True, slots=True)
class Stop:
    """A rule that stops connections. `is_sure`: nothing that is unknown decides before it, or about it. `where`: the container
    that it is in; "" for the machine itself.
    """

    rule: FirewallRule
    is_sure: bool
    where: str = ""

    @property
    def weight(self) -> float:
        """How much it proves; 0 if it may be about other packets, and counted none."""
        is_met = bool(self.rule.packets)
        if self.is_sure:
            return PROOF if is_met or self.rule.packets is None else STRONG
        return FAIR if is_met and self.rule.conditions else 0.0


def evidence(case: Case, *verdicts: Verdict) -> Iterator[Evidence]:
    """Yield the rules with one of these verdicts that stop connections of the proxy to the target."""
    for stop in stops(case):
        if stop.rule.verdict in verdicts and stop.weight:
            yield supports(words(stop), stop.rule.source, stop.weight)


def describe(case: Case, verdict: Verdict) -> str:
    """Return the rule that surely stops the connections in this way, in words; "" if there is none."""
    found = next((stop for stop in stops(case) if stop.is_sure and stop.rule.verdict is verdict), None)
    return words(found) if found else ""


def words(stop: Stop) -> str:
    """Return what a rule does, in words."""
    rule = stop.rule
    does = {Verdict.DROP: "drops", Verdict.REJECT: "rejects"}[rule.verdict]
    count = f"; {rule.packets} packet{'s' if rule.packets != 1 else ''} met it" if rule.packets else ""
    may = does if stop.is_sure else {"drops": "may drop", "rejects": "may reject"}[does]
    inside = f" inside {stop.where}" if stop.where else ""
    return f"the firewall rule `{rule.text}` in {rule.chain}{inside} {may} the connections{count}"


@dataclass(frozen=True, slots=True)
class _Way:
    """A connection: its target, whether that is in the same namespace, the device that it leaves by ("" if unknown), and whether
    it is between namespaces.
    """

    target: Target
    is_local: bool
    device: str
    is_between: bool


def _device(case: Case, network: str, is_local: bool) -> str:
    """Return the device by which a connection leaves a namespace; "" if that is not known."""
    if is_local:
        return "lo"
    return case.path.device if case.path is not None and not network and not case.network else ""


def stops(case: Case) -> tuple[Stop, ...]:
    """Return the rules that stop the proxy's connections to the target, the sure ones first: of what leaves the proxy's machine,
    and of what arrives at the target's, as far as each was collected.
    """
    target = case.target
    if target is None or target.is_unix or not target.is_address:
        return ()
    is_local = target.is_loopback or case.shares_network
    found: list[Stop] = []
    for rules, hooks_of in _machines(case, is_local):
        for key, chain in groupby(rules, key=lambda rule: (rule.network, rule.direction, rule.source, rule.base)):
            network, direction = key[:2]
            if direction in hooks_of(network):
                where = case.joins.homes.name(network) if network else ""
                is_within = is_local and network == case.network
                way = _Way(target, is_within, _device(case, network, is_within), bool(network or case.network) and not is_within)
                found += (Stop(stop.rule, stop.is_sure, where) for stop in _first(chain, way))
    return tuple(sorted(found, key=lambda stop: not stop.is_sure))


def _machines(case: Case, is_local: bool) -> Iterator[tuple[tuple[FirewallRule, ...], Callable[[str], frozenset[str]]]]:
    """Yield the rules of each machine on the way, and what gives the hooks of a namespace that a connection passes there."""
    yield case.here.firewall or (), lambda network: _hooks(case, network, is_local)
    if case.host is not None and case.host is not case.here:
        yield case.host.firewall or (), lambda network: frozenset() if network else _INWARD


def _hooks(case: Case, network: str, is_local: bool) -> frozenset[str]:
    """Return the hooks of a namespace that the proxy's connections to the target pass."""
    if network == case.network:
        return _OUTWARD | _INWARD if is_local else _OUTWARD
    if is_local:
        return frozenset()  # they do not leave the proxy's
    if not network:
        return _HOOKS_OF_CONTAINERS
    return _INWARD if network == case.home else frozenset()


def _first(chain: Iterator[FirewallRule], way: _Way) -> Iterator[Stop]:
    """Yield the first rule that stops a connection for sure, and those before it that may."""
    is_sure = True
    for rule in chain:
        applies = _applies(rule, way)
        if applies is False:
            continue
        if rule.verdict in (Verdict.DROP, Verdict.REJECT):
            yield Stop(rule, is_sure and applies is True)
        if applies is True and rule.verdict is not Verdict.UNKNOWN:
            return
        is_sure = False


def _applies(rule: FirewallRule, way: _Way) -> bool | None:
    """Return whether a rule is about a new connection to a target; None if that is unknown."""
    if rule.chain.split(" ", 1)[0] in ("ip", "ip6") and (":" in way.target.host) != rule.chain.startswith("ip6"):
        return False
    answers = [_holds(condition, way) for condition in rule.conditions]
    return False if False in answers else None if None in answers else True


def _holds(condition: Condition, way: _Way) -> bool | None:
    found = _is_among(condition, way)
    return found if found is None else found is not condition.is_negated


def _is_among(condition: Condition, way: _Way) -> bool | None:
    match condition.subject:
        case Subject.PROTOCOL:
            return bool({"tcp", "6", "all"} & set(condition.values))
        case Subject.PORT:
            ranges = [_range(value) for value in condition.values]
            return None if None in ranges else any(each and each[0] <= way.target.port <= each[1] for each in ranges)
        case Subject.DESTINATION:
            return _is_in(way.target.host, condition.values)
        case Subject.SOURCE if way.is_local:
            return _is_in(way.target.host, condition.values)  # a connection to an address of the machine comes from that address
        case Subject.INTERFACE_IN | Subject.INTERFACE_OUT if way.is_local:
            return any(fnmatch.fnmatchcase("lo", value) for value in condition.values)
        case Subject.INTERFACE_OUT if way.device:
            return any(fnmatch.fnmatchcase(way.device, value) for value in condition.values)
        case Subject.INTERFACE_IN | Subject.INTERFACE_OUT if way.is_between and set(condition.values) == {"lo"}:
            return False  # what leaves or enters a namespace does not pass its loopback interface
        case Subject.STATE:
            return "new" in condition.values
        case _:
            return None


def _range(value: str) -> tuple[int, int] | None:
    low, _, high = value.partition("-")
    if not (low.isascii() and low.isdecimal() and (not high or (high.isascii() and high.isdecimal()))):
        return None
    return int(low), int(high or low)


def _is_in(host: str, networks: tuple[str, ...]) -> bool | None:
    try:
        address = ipaddress.ip_address(host)
        return any(address in ipaddress.ip_network(network, strict=False) for network in networks if "-" not in network)
    except ValueError:
        return None
