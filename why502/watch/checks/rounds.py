"""When each member is checked. Pure: the time and the chance are given, so that days can be simulated.

Every `interval_s` ± 10 %, every `quick_s` while in doubt (at most 5 times in a row), the first checks spread over one interval.
Checks are never more than 5 % of a member's own requests, as far as that leaves one a minute, and one each `interval_s` while
requests fail. When many checks wait, members get
less time to connect, and those that are down less time to answer, so that a round ends within a minute.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from why502.probing.plan import BROKEN_OFF
from why502.probing.request import Request
from why502.watch.checks.members import MemberKey, Planned
from why502.watch.checks.settings import LONGEST_S, Checks
from why502.watch.checks.verdict import after, is_doubtful, verdict_of
from why502.watch.model import CheckResult, Member, MemberStatus

AT_ONCE = 8
SPREAD = 0.1  # of an interval, to both sides
QUICK_MOST = 5
SHARE = 0.05  # checks per request of the member's own
SHORTEST_CONNECT_S, SHORTEST_ANSWER_S = 0.25, 1.0
USED = 0.8  # part of the time of all checks at once that is planned with


@dataclass(slots=True)
class _Turn:
    """The checks of one member. `number`: of its only valid entry in the heap, 0 while it is checked; `quick`: quick checks in a
    row; `began_s`: when its last check began.
    """

    planned: Planned
    member: Member
    number: int = 0
    quick: int = 0
    began_s: float = -math.inf


def configured_rate(planned: Planned) -> float | None:
    """Return a member's requests per second as they were when the checks were planned."""
    return planned.requests_s


class Rounds:
    """The order of all checks. `chance` returns a number from -1 to 1, `rate` a member's requests per second (None: unknown).

    Times are monotonic seconds.
    """

    def __init__(
        self, settings: Checks, chance: Callable[[], float], rate: Callable[[Planned], float | None] = configured_rate
    ) -> None:
        self.settings = settings
        self._chance, self._rate = chance, rate
        self._turns: dict[MemberKey, _Turn] = {}
        self._heap: list[tuple[float, int, MemberKey]] = []
        self._number = 0

    def update(self, checks: Iterable[Planned], now_s: float, members: Iterable[Member] = ()) -> None:
        """Replace what is checked. Members that stay keep their status and turn; `members` are those of before a restart."""
        before, checks = self._turns, tuple(checks)
        known = {MemberKey(member.proxy, member.group, member.peer): member for member in members}
        self._turns = {}
        new = [check for check in checks if check.key not in before]
        for check in checks:
            if (turn := before.get(check.key)) is not None:
                turn.planned = check
                self._turns[check.key] = turn
                if not check.request and turn.member.status is not MemberStatus.UNKNOWN:
                    self._plan(turn, now_s)
        for number, check in enumerate(new):
            key = check.key
            member = known.get(key) or Member(proxy=key.proxy, group=key.group, peer=key.peer)
            turn = self._turns[key] = _Turn(check, member)
            self._plan(turn, now_s + self.settings.interval_s * number / len(new))

    @property
    def members(self) -> tuple[Member, ...]:
        """Return all members with their status."""
        return tuple(turn.member for turn in self._turns.values())

    def next_s(self) -> float | None:
        """Return when the next check is due; None if there is none."""
        while self._heap and not self._is_valid(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now_s: float) -> Planned | None:
        """Return the check that is due for longest, with the time it may take now; None if none is due. See `finish`."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        waiting = sum(entry[0] <= now_s for entry in self._heap)
        _, _, key = heapq.heappop(self._heap)
        turn = self._turns[key]
        turn.number, turn.began_s = 0, now_s
        if turn.planned.request is None:
            return turn.planned
        return replace(turn.planned, request=self._within(turn.planned.request, turn.member, waiting))

    def doubt(self, proxy: str, targets: frozenset[str], now_s: float) -> bool:
        """Check the members whose requests fail now, if their turn is later; one in an interval. Return whether there are any."""
        found = [
            turn
            for key, turn in self._turns.items()
            if key.proxy == proxy and turn.planned.request and not targets.isdisjoint((str(key.peer), turn.planned.name))
            if turn.number and turn.member.status is not MemberStatus.DOWN and not self._breaks_off(turn)
            if now_s - turn.began_s >= self.settings.interval_s
        ]
        for turn in found:
            self._plan(turn, now_s)
        return bool(found)

    def finish(self, key: MemberKey, result: CheckResult, now_s: float) -> Member | None:
        """Return the member after a result, and plan its next check; None if it is no longer configured."""
        turn = self._turns.get(key)
        if turn is None:
            return None
        turn.member = after(turn.member, result, self.settings)
        is_quick = is_doubtful(turn.member) and turn.quick < QUICK_MOST
        turn.quick = turn.quick + 1 if is_quick else turn.quick if is_doubtful(turn.member) else 0
        wait_s = self.settings.quick_s if is_quick else self._interval_s(turn)
        self._plan(turn, now_s + wait_s * (1 + SPREAD * self._chance()))
        return turn.member

    def _interval_s(self, turn: _Turn) -> float:
        """Return the interval of a member. One that breaks off our own request gets it once a minute: it may die of it."""
        rate = self._rate(turn.planned)
        if turn.planned.request is None and turn.planned.symptom is None:
            return LONGEST_S
        if self._breaks_off(turn) and turn.member.last and turn.member.status is verdict_of(turn.member.last):
            return LONGEST_S
        if rate is None:
            return self.settings.interval_s
        least_s = 1 / (SHARE * rate) if rate > 0 else LONGEST_S
        return max(self.settings.interval_s, min(LONGEST_S, least_s))

    @staticmethod
    def _breaks_off(turn: _Turn) -> bool:
        return turn.member.last is not None and turn.member.last.symptom in BROKEN_OFF

    @staticmethod
    def _within(request: Request, member: Member, waiting: int) -> Request:
        share_s = AT_ONCE * USED * LONGEST_S / (waiting + AT_ONCE)
        connect_s = min(request.connect_s, max(SHORTEST_CONNECT_S, share_s))
        answer_s = request.answer_s
        if member.status is MemberStatus.DOWN:
            answer_s = min(answer_s, max(SHORTEST_ANSWER_S, share_s))
        return msgspec.structs.replace(request, connect_s=connect_s, answer_s=answer_s)

    def _plan(self, turn: _Turn, at_s: float) -> None:
        self._number += 1
        turn.number = self._number
        heapq.heappush(self._heap, (at_s, self._number, turn.planned.key))

    def _is_valid(self, entry: tuple[float, int, MemberKey]) -> bool:
        turn = self._turns.get(entry[2])
        return turn is not None and turn.number == entry[1]
