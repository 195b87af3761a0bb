"""Reads one log in a thread of its own, so that a log on a mount that hangs holds up no other."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from why502.logs.checkpoint import Checkpoint
from why502.logs.follow.follower import LINGER_S, LONGEST_LINGER_S, Follower
from why502.logs.follow.step import Step
from why502.logs.join import KEPT_S
from why502.logs.live import MOST_HELD
from why502.logs.scan.work import ScanQuery
from why502.watch.model import Observed
from why502.watch.tailing import logrotate
from why502.watch.tailing.fitness import Fitness
from why502.watch.tailing.found import Log
from why502.watch.tailing.joining import Joining, cut, failures
from why502.watch.tailing.journal import JournalFollower
from why502.watch.tailing.localtime import localtime
from why502.watch.tailing.permission import unreadable
from why502.watch.tailing.places import Places
from why502.watch.tailing.projection import Delta, Projection, Series

POLL_S = 0.25
SLOW_POLL_S = 1.0  # after SILENCE_S without a line
SILENCE_S = 60.0
PATIENCE_S = 2.0  # for an error log that is being read, or cannot be read
HISTORY_S = 15 * 60.0
CATCH_UP_S = 24 * 3600.0  # what was written longer ago, while nothing followed the log, is left out
AGAIN_S = 60.0  # how often it is said that a log cannot be read
Put = Callable[[Observed], None]


@dataclass(slots=True, kw_only=True)
class Times:
    """The clocks: `monotonic` goes only forward, `wall` are seconds since the epoch, which may be set at any time."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    began_at: float | None = None  # by the first of them

    @property
    def live_since(self) -> int:
        """Return the first minute that is not history: at most 15 minutes ago, and not before the beginning."""
        since_s = HISTORY_S if self.began_at is None else min(self.monotonic() - self.began_at, HISTORY_S)
        return int(self.wall() - since_s) // 60


@dataclass(slots=True)
class _Pending:
    observed: Observed
    delta: Delta
    places: Places
    read_at: float


class Group:
    """The logs of one proxy. Requests that failed are put when the error logs were read at least as far as the access log."""

    def __init__(self, proxy: str, put: Put, times: Times) -> None:
        self.proxy = proxy
        self.series = Series()
        self.joining = Joining(proxy, self.series)
        self.has_access = False
        self.flush_s = 0.0  # the longest that an access line comes after its error line
        self._put = put
        self._times = times
        self._lock = threading.Lock()
        self._pending: deque[_Pending] = deque()
        self._looked: dict[str, float] = {}  # of each error log, when the last look began that read all of it

    @property
    def is_waiting(self) -> bool:
        """Return whether requests wait for the error logs."""
        with self._lock:
            return bool(self._pending)

    def take(self, observed: Observed, delta: Delta, places: Places, read_at: float) -> None:
        """Take what an access log added."""
        with self._lock:
            self._pending.append(_Pending(observed, delta, places, read_at))
        self.release()

    def looked(self, log: str, began_at: float) -> None:
        """Learn that an error log was read up to its end, beginning at that time."""
        with self._lock:
            self._looked[log] = began_at
        self.release()

    def forget(self, log: str) -> None:
        """Wait for that error log no more."""
        with self._lock:
            self._looked.pop(log, None)

    def expect(self, log: str) -> None:
        """Wait for that error log."""
        with self._lock:
            self._looked.setdefault(log, -PATIENCE_S)

    def release(self, *, is_over: bool = False) -> None:
        """Put what need not wait any longer, in the order in which it was read; everything when it `is_over`."""
        with self._lock:
            now = self._times.monotonic()
            while self._pending and (is_over or self._is_ready(self._pending[0], now)):
                one = self._pending.popleft()
                self.joining.settle(one.delta, one.places)
                self._put(_with(one.observed, one.delta))

    def _is_ready(self, one: _Pending, now: float) -> bool:
        if not one.delta.waiting and not one.delta.unheld:
            return True
        return now - one.read_at >= PATIENCE_S or all(at >= one.read_at for at in self._looked.values())


class Claims:
    """Which log reads which file, so that a file with two names is counted once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[tuple[int, int], str] = {}
        self._files: dict[str, list[tuple[int, int]]] = {}

    def take(self, name: str, path: str) -> bool:
        """Claim the file that a path leads to now; False if another log has it. What does not exist may be claimed by all."""
        try:
            status = Path(path).stat()
        except OSError:
            return True
        file = status.st_dev, status.st_ino
        with self._lock:
            if self._owners.setdefault(file, name) != name:
                return False
            if (files := self._files.setdefault(name, [])) and files[-1] == file:
                return True
            self._files[name] = [*files[-1:], file]
            for left in files[:-1]:  # the one before is still claimed: it may have another name, under which nobody shall read it
                self._owners.pop(left, None)
        return True


@dataclass(slots=True)
class Reader:
    """Follows one log. It is made without touching the file, since that may hang: the first turn opens it.

    `has_caught_up`: it was read up to its end, at least once.
    """

    log: Log
    group: Group
    places: Places
    put: Put
    times: Times
    claims: Claims
    checkpoint: Checkpoint | None = None
    since: float | None = None
    reread: Callable[[], None] | None = None  # reads the configuration of the gateways again
    has_caught_up: bool = False
    _source: Follower | JournalFollower | None = None
    _projection: Projection | None = None
    _last_line_at: float = 0.0
    _lost_bytes: int = 0
    _rotations: int = 0
    _reason: str = ""
    _said_at: float = -AGAIN_S
    _newest_at: int | None = None
    _kept: Checkpoint | None = None  # the one that was put last
    _next: tuple[Log, Places] | None = None
    _failures: int = 0  # of ours
    _fitness: Fitness = field(default_factory=Fitness)
    _left_at: float | None = None  # when the configuration stopped naming it

    @property
    def silent_s(self) -> float:
        """Return for how long nothing was added."""
        return self.times.monotonic() - self._last_line_at if self._source is not None else 0.0

    @property
    def kept(self) -> Checkpoint | None:
        """Return how far the log was counted."""
        return self._kept or self.checkpoint

    @property
    def is_over(self) -> bool:
        """Return whether a log that no configuration names any more was silent long enough."""
        return self._left_at is not None and self.times.monotonic() - max(self._left_at, self._last_line_at) >= LONGEST_LINGER_S

    def leave(self) -> None:
        """Learn that no configuration names the log any more: old workers of the proxy may still write to it for a while."""
        if self._left_at is None:
            self._left_at = self.times.monotonic()

    def change(self, log: Log, places: Places) -> None:
        """From the next turn on, read the log as a new configuration says."""
        self._next = (log, places)
        self._left_at = None

    def turn(self) -> bool:
        """Read what was added, and put it. Return whether there is more to read at once."""
        self._apply()
        began_at = self.times.monotonic()
        if isinstance(self._source, Follower) and not self._reason and self._source.is_quiet():
            self._rest(began_at)
            return False
        if not self.log.unit and not self.claims.take(self.log.name, self.log.path):
            return False
        source = self._source or self._open()
        shift_s = self.group.joining.shift_s if self.log.is_error_log else 0
        source.query = structs.replace(source.query, near=int(self.times.wall()), shift_s=shift_s)
        step = source.step()
        observed = self._observed(source, step)
        self.group.joining.hear(step.added.errors, KEPT_S + self.group.flush_s, shift_s)
        if self.log.is_error_log:
            if self.group.has_access:
                observed.failures = cut(self.group.proxy, step.added.errors, self.places, self.group.series)
            else:
                observed.failures = failures(self.group.proxy, step.added.messages, self.places, self.group.series)
            self._put(observed)
            if not step.is_behind:
                self.group.looked(self.log.name, began_at)
        else:
            delta = self._projection.take() if self._projection else Delta()
            if self._is_news(observed):
                self.group.take(observed, delta, self.places, self.times.monotonic())
            else:
                self.group.release()
        self.has_caught_up |= not step.is_behind
        return step.is_behind

    def _rest(self, began_at: float) -> None:
        """Do what is due although nothing was added."""
        if self.log.is_error_log:
            self.group.looked(self.log.name, began_at)
        else:
            self.group.release()

    def fail(self, error: Exception) -> None:
        """Put that a mistake of ours keeps the log from being read; it is opened again at its last checkpoint."""
        if not self._failures:
            traceback.print_exception(error)
        self._failures += 1
        self.checkpoint = self.kept
        self.close()
        self._source = None
        reason = f"{self.log.path}: bug in why502: {type(error).__name__}: {error}"
        self.put(Observed(log=self.log.name, proxy=self.group.proxy, reason=reason))

    def pause_s(self) -> float:
        """Return how long to wait before the next turn."""
        if self._failures and self._source is None:
            return min(2.0**self._failures, AGAIN_S)
        return POLL_S if self.times.monotonic() - self._last_line_at < SILENCE_S else SLOW_POLL_S

    def close(self) -> None:
        """Close the log."""
        if self._source is not None:
            self._source.close()

    def _open(self) -> Follower | JournalFollower:
        if not self.log.is_error_log:
            self._projection = Projection(self.group.proxy, self.log.name, self.places, self.group.series)
        zone = localtime(self.log.proxy.pid, self.log.proxy.root)
        ask = ScanQuery(most_held=MOST_HELD, has_paths=not self.log.is_error_log, localtime=zone)
        self._last_line_at = self.times.monotonic()
        self._lost_bytes = self.checkpoint.lost_bytes if self.checkpoint else 0
        if self.log.unit:
            self._source = JournalFollower(
                self.log.unit,
                self.checkpoint,
                query=ask,
                form=self.log.form,
                since=self.since,
                clock=self.times.monotonic,
                sink=self._projection,
            )
            return self._source
        self._source = Follower(
            self.log.path,
            self.checkpoint,
            query=ask,
            form=self.log.form,
            since=self.since,
            oldest=self.times.wall() - CATCH_UP_S,
            directories=logrotate.directories(self.log.path),
            linger_s=max(LINGER_S, min(self.log.flush_s, LONGEST_LINGER_S)),
            clock=self.times.monotonic,
            sink=self._projection,
        )
        return self._source

    def _put(self, observed: Observed) -> None:
        if self._is_news(observed):
            self.put(observed)

    def _misfit(self, step: Step) -> str | None:
        """Return why the lines of the log cannot be parsed, as `Observed` has it; the configuration is read again before that."""
        log_format = self.log.form.log_format if self.log.form else ""
        if self._fitness.add(step.added, self.times.monotonic(), log_format) and self.reread is not None:
            self.reread()
        return self._fitness.reason

    def _is_news(self, observed: Observed) -> bool:
        """Return whether there is something to put; it is put then."""
        now = self.times.monotonic()
        is_moved = observed.checkpoint != self._kept
        is_due = bool(observed.reason) and now - self._said_at >= AGAIN_S
        self._kept = observed.checkpoint
        self._said_at = now if is_due else self._said_at
        return is_moved or is_due or bool(observed.lines or observed.lost_bytes or observed.note)

    def _apply(self) -> None:
        if self._next is None:
            return
        (log, self.places), self._next = self._next, None
        is_reformed, self.log = log.form != self.log.form, log
        if self._projection is not None:
            self._projection.places = self.places
        if self._source is not None and is_reformed:
            self._source.reform(log.form)

    def _observed(self, source: Follower | JournalFollower, step: Step) -> Observed:
        """Return what a step added, without the requests."""
        added = step.added
        if added.lines:
            self._last_line_at = self.times.monotonic()
        if added.last is not None:
            self._newest_at = added.last
        live_since = self.times.live_since
        lost_bytes = step.checkpoint.lost_bytes - self._lost_bytes
        self._lost_bytes = step.checkpoint.lost_bytes
        lost_lines = 0
        if isinstance(source, JournalFollower):
            lost_lines, source.lost_lines = source.lost_lines, 0
        rotations, self._rotations = source.rotations - self._rotations, source.rotations
        is_readable = self._reason != "" and not step.reason
        if step.reason != self._reason:
            self._reason, self._said_at = step.reason, -AGAIN_S
        return Observed(
            log=self.log.name,
            proxy=self.group.proxy,
            checkpoint=step.checkpoint,
            lines=added.lines,
            unparsed=added.unparsed,
            lost_bytes=lost_bytes,
            lost_lines=lost_lines,
            lag_bytes=step.left_bytes,
            lag_s=max(self.times.wall() - self._newest_at, 0.0) if step.is_behind and self._newest_at else 0.0,
            newest_at=None if added.last is None else datetime.fromtimestamp(added.last, UTC),
            rotations=rotations,
            reason=unreadable(self.log.path, step.reason) if step.reason else "",
            note="it can be read again" if is_readable else "",
            misfit=self._misfit(step),
            live_since=live_since,
            is_history=added.last is not None and added.last // 60 < live_since,
        )


def _with(observed: Observed, delta: Delta) -> Observed:
    """Return what a log added, with its requests."""
    observed.requests, observed.failures, observed.attempts = delta.requests, delta.failures, delta.attempts
    observed.recovered, observed.durations, observed.checks = delta.recovered, delta.durations, delta.checks
    return observed
