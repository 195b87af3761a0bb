"""What a result makes of a member: the status changes after `rise` or `fall` results in a row that say otherwise.

Pure. Unknown is a status of its own: it is the first, and what could not be looked at leads to it, never to "down".
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from why502.watch.checks.settings import Checks
from why502.watch.model import CheckResult, Member, MemberStatus

KEPT_INTERVALS = 2  # a status is kept over a restart for this many intervals


def verdict_of(result: CheckResult) -> MemberStatus:
    """Return what one result says."""
    if result.is_unknown:
        return MemberStatus.UNKNOWN
    return MemberStatus.UP if result.symptom is None else MemberStatus.DOWN


def after(member: Member, result: CheckResult, settings: Checks) -> Member:
    """Return the member after one more result.

    A first answer is enough to leave "unknown"; a failure is not, because one may be chance.
    """
    verdict = verdict_of(result)
    if verdict is member.status:
        return msgspec.structs.replace(member, in_a_row=0, last=result)
    is_same = member.last is not None and member.in_a_row > 0 and verdict_of(member.last) is verdict
    in_a_row = member.in_a_row + 1 if is_same else 1
    needed = settings.fall
    if verdict is MemberStatus.UP:
        needed = 1 if member.status is MemberStatus.UNKNOWN else settings.rise
    if in_a_row < needed:
        return msgspec.structs.replace(member, in_a_row=in_a_row, last=result)
    return msgspec.structs.replace(member, status=verdict, since=result.at, in_a_row=0, last=result)


def is_doubtful(member: Member) -> bool:
    """Return whether the last results differ from the status, but too few of them. What cannot be looked at raises no doubt."""
    return member.in_a_row > 0 and member.last is not None and not member.last.is_unknown


def restored(member: Member, now: datetime, interval_s: float) -> Member:
    """Return a member as it was before a restart; as unknown if its last result is older than two intervals."""
    is_recent = member.last is not None and now - member.last.at <= timedelta(seconds=KEPT_INTERVALS * interval_s)
    if is_recent:
        return member
    return Member(proxy=member.proxy, group=member.group, peer=member.peer)
