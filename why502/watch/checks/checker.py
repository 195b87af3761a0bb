"""Checker: runs the checks in their rhythm, at most 8 at once, and reports each member after each result."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from why502.collectors import names
from why502.collectors.base import CollectOptions
from why502.host.base import Host
from why502.model.snapshot import Snapshot
from why502.watch.checks.members import Planned, has_names, planned, refreshed
from why502.watch.checks.rates import OK, Rates
from why502.watch.checks.results import check, not_asked
from why502.watch.checks.rounds import AT_ONCE, Rounds
from why502.watch.checks.settings import LONGEST_S, Checks
from why502.watch.checks.sight import Sight
from why502.watch.checks.verdict import is_doubtful, restored
from why502.watch.model import AttemptKey, Blindness, CheckResult, Member
from why502.watch.progress import Beat, ignore_beat

Put = Callable[[Member], None]
NAME = "checks"  # of its thread
NAMES_S = 30.0
IDLE_S = 5.0  # longest wait without a look at the time: the clock may have been stopped by a suspend


def asked(host: Host, one: Planned, ask: Callable[[Host, Planned], CheckResult] = check) -> CheckResult:
    """Return the result of one check; an error of our own is a result that says so, never one about the member."""
    try:
        return ask(host, one)
    except Exception as error:
        return not_asked(one, datetime.now(UTC), f"internal error: {type(error).__name__}: {error}")


def one_round(host: Host, checks: Iterable[Planned]) -> tuple[CheckResult, ...]:
    """Return the result of each check, in their order."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="check") as pool:
        return tuple(pool.map(lambda one: asked(host, one), checks))


def _minute() -> int:
    return int(time.time() // 60)


class Checker:
    """Checks every member of a snapshot's proxies until it is stopped. `put` is called from its threads.

    `members`: as they were before a restart. `tell` is called when this machine's own network begins to fail, and when it works
    again. `ask` makes one check; a test may replace it, and `sight`. `beat` is told that checks are made.
    """

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        settings: Checks,
        put: Put,
        *,
        members: Iterable[Member] = (),
        tell: Callable[[Blindness], None] = lambda _: None,
        is_probing: bool = True,
        ask: Callable[[Host, Planned], CheckResult] = check,
        sight: Sight | None = None,
        chance: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311 - it only spreads the checks
        beat: Beat = ignore_beat,
    ) -> None:
        self._host, self._settings, self._put, self._is_probing, self._ask = host, settings, put, is_probing, ask
        self._tell, self._sight, self._beat = tell, sight or Sight(host), beat
        self._sight.update(snapshot)
        self._is_blind = False
        self._changed = threading.Condition()
        self._rates = Rates()
        self._rounds = Rounds(settings, chance, self._rate)
        now = datetime.now(UTC)
        kept = [restored(member, now, LONGEST_S) for member in members]  # an idle member has the longest interval
        self._known = snapshot
        self._rounds.update(planned(snapshot, settings, is_probing=is_probing), time.monotonic(), kept)
        self._running = 0
        self._is_stopped = False
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="check")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._resolver = threading.Thread(target=self._resolve, name="names", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()
        self._resolver.start()

    def update(self, snapshot: Snapshot) -> None:
        """Check what another snapshot names; members that stay keep their status."""
        checks = planned(snapshot, self._settings, is_probing=self._is_probing)
        self._sight.update(snapshot)
        with self._changed:
            self._known = snapshot
            self._rounds.update(checks, time.monotonic())
            self._changed.notify_all()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop; a check that runs ends by its own limit and is not reported."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._ended.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def count(self, attempts: Mapping[tuple[int, AttemptKey], int]) -> None:
        """Take over how many requests the members get, by minute, as the logs tell.

        Idle ones are checked less often, and those whose requests fail now are checked at once.
        """
        minute = _minute()
        failing: dict[str, set[str]] = {}
        for at, key in attempts:
            if at >= minute - 1 and key.outcome != OK:
                failing.setdefault(key.proxy, set()).add(key.target)
        with self._changed:
            self._rates.add(attempts, minute)
            for proxy, targets in failing.items():
                if self._rounds.doubt(proxy, frozenset(targets), time.monotonic()):
                    self._changed.notify_all()

    def is_settled(self, since: datetime) -> bool:
        """Return whether each member was checked since then, and none is in doubt."""
        return all(one.last is not None and one.last.at >= since and not is_doubtful(one) for one in self.members)

    @property
    def members(self) -> tuple[Member, ...]:
        """Return all members with their status."""
        with self._changed:
            return self._rounds.members

    def _resolve(self) -> None:
        """Ask again what the members' names mean: containers and clouds change addresses without a reload."""
        while not self._ended.wait(NAMES_S):
            known = self._known
            if not self._is_probing or not has_names(known):
                continue
            fresh = names.collect(self._host, known, CollectOptions()).value
            if fresh is None or self._known is not known:
                continue
            again = refreshed(known, fresh)
            if again.names != known.names:
                self.update(again)

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopped:
                if self._running < AT_ONCE:
                    self._beat(NAME)
                taken = self._rounds.take(time.monotonic()) if self._running < AT_ONCE else None
                if taken is None:
                    self._changed.wait(self._wait_s())
                    continue
                self._running += 1
                self._pool.submit(self._check, taken)

    def _wait_s(self) -> float:
        """Return how long nothing is to be done, unless a check ends."""
        next_s = self._rounds.next_s()
        if next_s is None or self._running >= AT_ONCE:
            return IDLE_S
        return min(IDLE_S, max(0.0, next_s - time.monotonic()))

    def _rate(self, one: Planned) -> float | None:
        found = self._rates.of(one.key.proxy, one.key.peer, _minute())
        return one.requests_s if found is None else found

    def _tell_blindness(self, reason: str) -> None:
        """Tell when the network begins to fail, and when it works again."""
        with self._changed:
            is_news, self._is_blind = bool(reason) is not self._is_blind, bool(reason)
        if is_news:
            self._tell(Blindness(at=datetime.now(UTC), reason=reason))

    def _check(self, one: Planned) -> None:
        try:
            result = self._sight.judged(asked(self._host, one, self._ask), time.monotonic())
            self._tell_blindness(self._sight.reason)
            with self._changed:
                member = None if self._is_stopped else self._rounds.finish(one.key, result, time.monotonic())
            if member is not None:
                self._put(member)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
