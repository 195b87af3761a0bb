"""Whether a target does well enough for a deploy to go on: what it served while it was watched, against the other targets.

The rule for one bad target among others is that of `why502 logs`: at least ten failed attempts, three times the share of the
others, and by more than chance (four standard deviations). Alone, a target is judged by its own share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from why502.model.target import Target
from why502.watch.model import Member, MemberStatus, Observed

OK = "ok"

LEAST_ATTEMPTS = 20  # fewer tell nothing about a target
LEAST_FAILED = 10
TIMES, DEVIATIONS = 3.0, 4.0
MOST_SHARE = 0.02  # of failed attempts, where there is no other target to compare with
FAILED_AT_FIRST = 3  # so many attempts, all failed, are enough


class Outcome(IntEnum):
    """The exit status of the gate."""

    GOOD = 0
    BAD = 1
    UNKNOWN = 2


@dataclass(slots=True)
class Attempts:
    """Attempts on a target."""

    ok: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # by symptom

    @property
    def failures(self) -> int:
        """Return the number of failed attempts."""
        return sum(self.failed.values())

    @property
    def total(self) -> int:
        """Return the number of attempts."""
        return self.ok + self.failures

    @property
    def share(self) -> float:
        """Return the share of failed attempts, 0 to 1."""
        return self.failures / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says, and whether more traffic could still change it."""

    outcome: Outcome
    message: str
    is_final: bool = False


@dataclass(slots=True)
class Gate:
    """What was seen of a target since the gate began. `name`: the target as configured."""

    name: str
    target: Attempts = field(default_factory=Attempts)
    others: Attempts = field(default_factory=Attempts)
    requests: int = 0  # of the whole gateway, whoever served them
    check: str | None = None

    def observe(self, observed: Observed) -> None:
        """Count the attempts of a log; those from before the gate began do not count."""
        if observed.is_history:
            return
        for (minute, attempt), count in observed.attempts.items():
            if minute < observed.live_since:
                continue
            side = self.target if is_same(attempt.target, self.name) else self.others
            if attempt.outcome == OK:
                side.ok += count
            else:
                side.failed[attempt.outcome] = side.failed.get(attempt.outcome, 0) + count
        self.requests += sum(count for (minute, _), count in observed.requests.items() if minute >= observed.live_since)

    def checked(self, member: Member) -> None:
        """Take the result of a check."""
        if is_same(str(member.peer), self.name) and member.status is not MemberStatus.UNKNOWN:
            self.check = "" if member.status is MemberStatus.UP else _symptom(member)

    def judge(self) -> Judgement:
        """Return the judgement so far."""
        found = judge(self.target, self.others, check=self.check)
        if found.outcome is Outcome.UNKNOWN and self.requests >= LEAST_ATTEMPTS and not self.target.ok + self.others.ok:
            message = (
                "the access log does not name the target of a request: add $upstream_addr and $upstream_status to log_format"
            )
            return Judgement(Outcome.UNKNOWN, f"not enough data: {message}")
        return found


def is_same(first: str, second: str) -> bool:
    """Return whether two texts name one target."""
    return first == second or (Target.parse(first) is not None and Target.parse(first) == Target.parse(second))


def _symptom(member: Member) -> str:
    return (member.last and (member.last.reason or member.last.symptom)) or "failed"


def judge(target: Attempts, others: Attempts, *, check: str | None = None) -> Judgement:
    """Return the judgement of a target. `check`: the symptom for which its checks fail; "" if they pass, None if unknown."""
    if check:
        return Judgement(Outcome.BAD, f"its checks fail: {check}", is_final=True)
    worst = max(target.failed, key=lambda symptom: target.failed[symptom], default="")
    counted = f"{target.failures} of {target.total} attempts failed"
    if target.failures >= FAILED_AT_FIRST and not target.ok:
        return Judgement(Outcome.BAD, f"{counted}, most with {worst}", is_final=True)
    if target.failures >= LEAST_FAILED and _is_bad(target, others):
        compared = f"; {others.failures} of {others.total} on the other targets" if others.total >= LEAST_ATTEMPTS else ""
        return Judgement(Outcome.BAD, f"{counted}, most with {worst}{compared}", is_final=True)
    if target.total < LEAST_ATTEMPTS:
        return Judgement(Outcome.UNKNOWN, f"not enough traffic: {counted}, at least {LEAST_ATTEMPTS} attempts are needed")
    return Judgement(Outcome.GOOD, counted)


def _is_bad(target: Attempts, others: Attempts) -> bool:
    if others.total < LEAST_ATTEMPTS:
        return target.share > MOST_SHARE
    share = (target.failures + others.failures) / (target.total + others.total)
    deviation = math.sqrt(share * (1 - share) * (1 / target.total + 1 / others.total))
    return target.share > TIMES * others.share and target.share - others.share > DEVIATIONS * deviation
