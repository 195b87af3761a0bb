"""Which member is taken out, if the settings allow it: one that fails every check while others of its groups pass every one.

Never the last that passes, never more than half of a group, and always for a time. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from why502.diagnosis.targets import addresses
from why502.model.base import Value
from why502.model.config import Peer, Upstream
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.checks.verdict import verdict_of
from why502.watch.model import CheckResult, MemberStatus


class Mitigation(Value, frozen=True, kw_only=True):
    """Whether failing members are taken out, after how many failures in a row, and for how long at first and at most."""

    down: bool = False
    fall: Annotated[int, Meta(ge=2, le=100)] = 5
    for_s: Annotated[float, Meta(ge=60, le=86400)] = 300.0
    longest_s: Annotated[float, Meta(ge=60, le=86400)] = 3600.0

    def __post_init__(self) -> None:
        if self.longest_s < self.for_s:
            raise ValueError("longest_s must not be less than for_s")


@dataclass(frozen=True, slots=True)
class Choice:
    """A server that fails, as configured. `for_s`: how long to take it out; None: it stays, and `reason` says why."""

    name: str
    reason: str
    for_s: float | None = None


def choices(
    rounds: Sequence[Iterable[CheckResult]], snapshot: Snapshot, settings: Mitigation, earlier: Callable[[str], int]
) -> tuple[Choice, ...]:
    """Return each server that failed every round of checks, in the order of the configuration.

    `earlier`: how often a server was taken out lately; each time doubles the time.
    """
    failing, passing = _in_every(rounds, MemberStatus.DOWN), _in_every(rounds, MemberStatus.UP)
    groups = [group for proxy in snapshot.proxies or () if proxy.is_running for group in proxy.upstreams]
    gone: set[Target] = set()
    found: dict[str, Choice] = {}
    for group in groups:
        for peer in group.peers:
            own = frozenset(addresses(peer, snapshot))
            if peer.is_down or not own or not own <= failing or peer.name in found or own <= gone:
                continue
            refusal = next(_refusals(own, groups, snapshot, passing, gone), "")
            if refusal:
                found[peer.name] = Choice(peer.name, refusal)
                continue
            gone |= own
            for_s = min(settings.for_s * 2 ** min(earlier(peer.name), 32), settings.longest_s)
            found[peer.name] = Choice(peer.name, f"{len(rounds)} checks in a row failed, and others of {group.name} pass", for_s)
    return tuple(found.values())


def _in_every(rounds: Sequence[Iterable[CheckResult]], status: MemberStatus) -> frozenset[Target]:
    """Return the addresses with the same result in every round, from every gateway that uses them."""
    each = []
    for results in rounds:
        seen: dict[Target, set[MemberStatus]] = {}
        for result in results:
            seen.setdefault(result.peer, set()).add(verdict_of(result))
        each.append({peer for peer, statuses in seen.items() if statuses == {status}})
    return frozenset.intersection(*map(frozenset, each)) if each else frozenset()


def _refusals(
    own: frozenset[Target], groups: Iterable[Upstream], snapshot: Snapshot, passing: frozenset[Target], gone: set[Target]
) -> Iterator[str]:
    """Yield why servers with these addresses must stay: a reason for each group of theirs that cannot do without them."""

    def is_out(peer: Peer) -> bool:
        found = frozenset(addresses(peer, snapshot))
        return peer.is_down or (bool(found) and found <= gone)

    for group in groups:
        mine = [peer for peer in group.peers if not is_out(peer) and own & frozenset(addresses(peer, snapshot))]
        if not mine:
            continue
        if not any(frozenset(addresses(peer, snapshot)) & passing for peer in group.peers if not is_out(peer)):
            yield f"no other server of {group.name} passes its checks"
        regular = [peer for peer in group.peers if not peer.is_backup]
        out = sum(is_out(peer) for peer in regular) + sum(not peer.is_backup for peer in mine)
        if 2 * out > len(regular):
            yield f"more than half of {group.name} would be out"
