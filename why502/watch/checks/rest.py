"""Whether the others of each group would serve if one member were stopped or restarted now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from why502.watch.checks.members import Planned
from why502.watch.checks.verdict import verdict_of
from why502.watch.model import CheckResult, MemberStatus

Group = tuple[str, str]


def others_of(chosen: Iterable[Planned], members: Iterable[Planned]) -> tuple[Planned, ...]:
    """Return the other members of the groups of the chosen ones. A member that a route names itself has no others."""
    chosen = tuple(chosen)
    groups, own = _groups(chosen), {one.key.peer for one in chosen}
    return tuple(one for one in members if one.key.group and (one.key.proxy, one.key.group) in groups and one.key.peer not in own)


def judged(target: str, chosen: Iterable[Planned], results: Sequence[CheckResult]) -> tuple[MemberStatus, str]:
    """Return up if another member of each group passes, down if there is a group where none does, unknown otherwise; and a
    sentence. `results`: of `others_of`.
    """
    worst, message = MemberStatus.UP, f"{target} can be stopped: in each of its groups, another member passes its check"
    for proxy, group in _groups(chosen):
        statuses = {verdict_of(one) for one in results if (one.proxy, one.group) == (proxy, group)} if group else set()
        if MemberStatus.UP in statuses:
            continue
        where = f"of {group}" if group else f"of its routes in {proxy}"
        if MemberStatus.UNKNOWN not in statuses:
            return MemberStatus.DOWN, f"do not stop {target}: no other member {where} passes its check"
        worst, message = (
            MemberStatus.UNKNOWN,
            f"it is not known whether {target} can be stopped: no other member {where} was checked",
        )
    return worst, message


def _groups(chosen: Iterable[Planned]) -> tuple[Group, ...]:
    return tuple(dict.fromkeys((one.key.proxy, one.key.group) for one in chosen))
