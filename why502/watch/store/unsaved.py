"""What was not written yet: one batch, or, while the disk takes nothing, all batches since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from why502.logs.checkpoint import Checkpoint
from why502.watch.model import Batch, Change, Configured, Incident, Limit, LimitKind, Member, Message, Observed, Seen, TargetKey
from why502.watch.store.durations import Durations
from why502.watch.store.reading import LogTotals, Totals
from why502.watch.store.series import Counted, K, Key, Ring, Series, clean_key, is_other

MemberKey = tuple[str, str, str]  # proxy, group, peer
LimitKey = tuple[LimitKind, str, int]  # kind, subject, minute


MANY = 2000  # changes, samples of limits, messages and incidents that are kept in memory while the disk takes nothing
BUNDLES = 8  # each may have 2 MB

Name = TypeVar("Name")
V = TypeVar("V")


@dataclass(slots=True, kw_only=True)
class LogPart:
    """What one log added, and its latest state."""

    proxy: str
    at: datetime
    checkpoint: Checkpoint | None = None
    lines: int = 0
    unparsed: int = 0
    lost_bytes: int = 0
    rotations: int = 0
    lag_bytes: int = 0
    newest_at: datetime | None = None
    reason: str = ""

    def add(self, observed: Observed, at: datetime) -> None:
        """Add what the log added since."""
        self.at = at
        self.proxy = observed.proxy
        self.checkpoint = observed.checkpoint or self.checkpoint
        self.lines += observed.lines
        self.unparsed += observed.unparsed
        self.lost_bytes += observed.lost_bytes
        self.rotations += observed.rotations
        self.lag_bytes = observed.lag_bytes
        self.newest_at = max(filter(None, (self.newest_at, observed.newest_at)), default=None)
        self.reason = observed.reason


@dataclass(slots=True)
class Unsaved:
    """Batches merged into one. `overflow`: how many counts went into OTHER because there were too many series."""

    at: datetime
    counts: dict[Counted, Counter[tuple[int, Key]]] = field(default_factory=dict)
    durations: dict[tuple[int, TargetKey], Counter[int]] = field(default_factory=dict)
    overflow: int = 0
    logs: dict[str, LogPart] = field(default_factory=dict)
    members: dict[MemberKey, Member] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    limits: dict[LimitKey, Limit] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    bundles: dict[str, bytes] = field(default_factory=dict)
    configured: Configured | None = None
    seen: Seen | None = None

    def add(self, batch: Batch, series: Series) -> None:
        """Add a batch; its counts go to the series that have a place."""
        self.at = batch.at
        for observed in batch.observed:
            self._observe(observed, series)
        for member in batch.members:
            self.members[member.proxy, member.group, str(member.peer)] = member
        self.changes += batch.changes
        for limit in batch.limits:
            self.limits[limit.kind, limit.subject, int(limit.at.timestamp()) // 60] = limit
        for incident in batch.incidents:
            self.incidents[incident.id] = incident
        for message in batch.messages:
            self.messages[message.receiver, message.key] = message
        self.bundles |= batch.bundles
        self.configured = batch.configured or self.configured
        self.seen = batch.seen or self.seen

    def _observe(self, observed: Observed, series: Series) -> None:
        log = self.logs.setdefault(observed.log, LogPart(proxy=observed.proxy, at=self.at))
        log.add(observed, self.at)
        self.overflow += observed.overflow
        self._count(Counted.REQUESTS, observed.requests, series)
        self._count(Counted.FAILURES, observed.failures, series)
        self._count(Counted.ATTEMPTS, observed.attempts, series)
        self._count(Counted.RECOVERED, observed.recovered, series)
        for (minute, key), buckets in observed.durations.items():
            kept = series.admit(Counted.DURATIONS, key, self.at.timestamp())
            self.durations.setdefault((minute, kept), Counter()).update(buckets)

    def _count(self, counted: Counted, found: Mapping[tuple[int, K], int], series: Series) -> None:
        total = self.counts.setdefault(counted, Counter())
        at_s = self.at.timestamp()
        for (minute, key), count in found.items():
            kept = series.admit(counted, key, at_s)
            total[minute, kept] += count
            if is_other(kept) and not is_other(key):
                self.overflow += count

    def counted(self, counted: Counted, since: int, until: int, ring: Ring) -> Iterator[tuple[int, Key, int]]:
        """Yield the counts of a time: the first minute of the interval, the key, and how many."""
        for (minute, key), count in self.counts.get(counted, {}).items():
            if ring.start(since) <= (start := ring.start(minute)) < until:
                yield start, key, count

    def compact(self) -> None:
        """Bound the memory that it takes: keep hours instead of minutes that are older than an hour, days instead of older hours,
        and only the newest of what else adds up.
        """
        now = int(self.at.timestamp()) // 60
        for found in self.counts.values():
            for minute, key in tuple(found):
                if (start := _coarse(minute, now)) != minute:
                    found[start, key] += found.pop((minute, key))
        for minute, peer in tuple(self.durations):
            if (start := _coarse(minute, now)) != minute:
                self.durations.setdefault((start, peer), Counter()).update(self.durations.pop((minute, peer)))
        self.changes = self.changes[-MANY:]
        self.limits = dict(tuple(self.limits.items())[-MANY:])
        self.bundles = dict(tuple(self.bundles.items())[-BUNDLES:])
        self.messages = _without_oldest(self.messages, lambda message: message.sent_at is not None)
        self.incidents = _without_oldest(self.incidents, lambda incident: not incident.is_open)

    def add_to(self, totals: Totals) -> None:
        """Add the counts, logs and messages to totals that do not contain them."""
        totals.overflow += self.overflow
        at_s = self.at.timestamp()
        if self.configured is not None:
            totals.targets = {name: since or at_s for name, since in totals.targets.items()}
            totals.targets |= dict.fromkeys(map(clean_key, self.configured.targets))
            totals.locations = {name: since or at_s for name, since in totals.locations.items()}
            totals.locations |= dict.fromkeys(map(clean_key, self.configured.locations))
        for counted, found in self.counts.items():
            for (_, key), count in found.items():
                totals.add(counted, key, count, at_s)
        for (_, key), buckets in self.durations.items():
            totals.durations.setdefault(key, Durations.none()).add(Durations.of(buckets))
            totals.grew_at_s[Counted.DURATIONS, key] = at_s
        for log, part in self.logs.items():
            known = totals.logs.get(log) or LogTotals(proxy=part.proxy, at=part.at)
            totals.logs[log] = LogTotals(
                proxy=part.proxy,
                at=part.at,
                lines=known.lines + part.lines,
                unparsed=known.unparsed + part.unparsed,
                lost_bytes=known.lost_bytes + part.lost_bytes,
                rotations=known.rotations + part.rotations,
                lag_bytes=part.lag_bytes,
                newest_at=part.newest_at or known.newest_at,
                reason=part.reason,
            )
        done = {key for key, message in self.messages.items() if message.sent_at is not None}
        totals.pending = (totals.pending | self.messages.keys()) - done


def _coarse(minute: int, now: int) -> int:
    """Return the first minute of the interval under which counts of a minute are kept in memory."""
    if minute > now - 60:
        return minute
    return Ring.HOUR.start(minute) if minute > now - 1440 else Ring.DAY.start(minute)


def _without_oldest(found: dict[Name, V], is_done: Callable[[V], bool]) -> dict[Name, V]:
    """Return all that are not done, and the newest MANY that are."""
    done = [name for name, value in found.items() if is_done(value)]
    dropped = set(done[:-MANY])
    return {name: value for name, value in found.items() if name not in dropped}
