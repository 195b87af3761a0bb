"""What is counted while logs are read, in bounded memory, and mergeable: the parts of a log sum to the whole.

Bounds: MOST_KINDS kinds of symptom (then coarser ones), MOST_TARGETS targets, MOST_REQUESTS different requests a kind (the later
ones are not listed), MOST_CLIENTS clients. Response times are kept in buckets 2 % wide: a percentile is at most 1 % off.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from why502.logs.paths import Paths
from why502.logs.zone import moment
from why502.model.logs import LogFile, LogSummary, Phase, Sample, Symptom, Tally, TargetTraffic
from why502.model.target import Target

MOST_KINDS = 2000
MOST_TARGETS = 1000
MOST_REQUESTS = 256
MOST_CLIENTS = 1000
MOST_STATUSES = 100
SAMPLES = 3
REQUESTS = 8
_WIDTH = math.log(1.02)
_SHORTEST_S = 0.0005


class Kind(NamedTuple):
    """All that tells one tally from another."""

    symptom: Symptom
    proxy: str | None = None
    target: Target | None = None
    group: str = ""
    server: str = ""
    status: int | None = None
    phase: Phase | None = None
    errno: int | None = None
    protocol: str = ""
    code: str = ""
    detail: str = ""
    process: str = ""
    process_pid: int | None = None
    unit: str = ""
    file: str = ""
    program: str = ""
    named: str = ""
    is_notice: bool = False

    def coarse(self) -> Kind:
        """Return what is told apart when there are too many kinds."""
        return Kind(self.symptom, self.proxy, status=self.status, phase=self.phase, errno=self.errno, is_notice=self.is_notice)


class Count:
    """How often and when one kind was seen."""

    __slots__ = ("count", "first", "hidden", "last", "longest", "requests", "samples", "shortest")

    def __init__(self) -> None:
        self.count = self.hidden = 0
        self.first = self.shortest = math.inf
        self.last = self.longest = -math.inf
        self.requests: Counter[str] = Counter()
        self.samples: list[Sample] = []

    def merge(self, other: Count) -> None:
        """Add what the other saw, later in the log."""
        self.count += other.count
        self.hidden += other.hidden
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.shortest, self.longest = min(self.shortest, other.shortest), max(self.longest, other.longest)
        for request, count in other.requests.items():
            _bump(self.requests, request, MOST_REQUESTS, count)
        self.samples = (self.samples + other.samples)[:SAMPLES]

    def tally(self, kind: Kind) -> Tally:
        """Return the value."""
        requests: Counter[str] = Counter()
        for request, count in self.requests.items():
            requests[request.removesuffix("?")] += count
        listed = tuple(sorted(requests.items(), key=lambda item: (-item[1], item[0]))[:REQUESTS])
        return Tally(
            **kind._asdict(),
            count=self.count,
            hidden=self.hidden,
            first=moment(self.first),
            last=moment(self.last),
            duration_min_s=None if math.isinf(self.shortest) else self.shortest,
            duration_max_s=None if math.isinf(self.longest) else self.longest,
            requests=listed,
            queried=tuple(request for request, _ in listed if f"{request}?" in self.requests),
            samples=tuple(self.samples),
        )


class Traffic:
    """What became of the attempts at one target. Successes are kept to the second: `first_success_after` is exact when merged."""

    __slots__ = ("attempts", "failures", "first_failure", "last_failure", "longest", "statuses", "successes", "times")

    def __init__(self) -> None:
        self.attempts = self.failures = 0
        self.first_failure = math.inf
        self.last_failure = self.longest = -math.inf
        self.successes: dict[int, int] = {}  # minute of the epoch -> a bit for each second
        self.times: Counter[int] = Counter()
        self.statuses: Counter[str] = Counter()

    def add(self, status: str, count: int = 1) -> None:
        """Count attempts that ended with a status as the log writes it."""
        self.attempts += count
        _bump(self.statuses, status, MOST_STATUSES, count)

    def fail(self, at: float, count: int = 1) -> None:
        """Note failures."""
        self.failures += count
        self.first_failure, self.last_failure = min(self.first_failure, at), max(self.last_failure, at)

    def succeed(self, at: float) -> None:
        """Note that at least one attempt succeeded in that second."""
        minute, second = divmod(int(at), 60)
        self.successes[minute] = self.successes.get(minute, 0) | 1 << second

    def took(self, response_s: float, count: int = 1) -> None:
        """Count response times."""
        self.times[math.floor(math.log(max(response_s, _SHORTEST_S)) / _WIDTH)] += count
        self.longest = max(self.longest, response_s)

    def merge(self, other: Traffic) -> None:
        """Add what the other saw."""
        self.attempts += other.attempts
        self.failures += other.failures
        self.first_failure = min(self.first_failure, other.first_failure)
        self.last_failure = max(self.last_failure, other.last_failure)
        self.longest = max(self.longest, other.longest)
        for minute, seconds in other.successes.items():
            self.successes[minute] = self.successes.get(minute, 0) | seconds
        self.times += other.times
        for status, count in other.statuses.items():
            _bump(self.statuses, status, MOST_STATUSES, count)

    def value(self, target: Target) -> TargetTraffic:
        """Return the value."""
        after = None if math.isinf(self.last_failure) else next(self._seconds(int(self.last_failure) + 1), None)
        return TargetTraffic(
            target=target,
            attempts=self.attempts,
            failures=self.failures,
            last_success=moment(max(self.successes) * 60 + self.successes[max(self.successes)].bit_length() - 1)
            if self.successes
            else None,
            first_failure=moment(self.first_failure),
            last_failure=moment(self.last_failure),
            first_success_after=moment(after) if after is not None else None,
            response_p50_s=self._percentile(0.5),
            response_p95_s=self._percentile(0.95),
            response_max_s=None if math.isinf(self.longest) else self.longest,
            statuses=dict(sorted(self.statuses.items())),
        )

    def _seconds(self, since: int) -> Iterator[int]:
        for minute in sorted(minute for minute in self.successes if minute >= since // 60):
            for second in range(60):
                if self.successes[minute] >> second & 1 and minute * 60 + second >= since:
                    yield minute * 60 + second

    def _percentile(self, share: float) -> float | None:
        left = share * self.times.total()
        for bucket in sorted(self.times):
            left -= self.times[bucket]
            if left <= 0:
                middle = math.exp((bucket + 0.5) * _WIDTH)
                return 0.0 if middle <= _SHORTEST_S * 1.02 else min(round(middle, 4), self.longest)
        return None


class Tallies:
    """Everything that is counted over the logs of one machine."""

    def __init__(self) -> None:
        self.requests = 0
        self.by_status: Counter[str] = Counter()
        self.minutes: Counter[int] = Counter()
        self.kinds: dict[Kind, Count] = {}
        self.targets: dict[Target, Traffic] = {}
        self.paths = Paths()
        self.clients: set[int] = set()

    def add(
        self,
        kind: Kind,
        at: float | None,
        *,
        sample: Sample | None = None,
        request: str = "",
        duration_s: float | None = None,
        is_hidden: bool = False,
    ) -> None:
        """Count one occurrence; `at` None: nobody knows when. `sample` may be None where Count.samples is full: see `wants_sample`."""
        count = self._count(kind)
        count.count += 1
        count.hidden += is_hidden
        if at is not None:
            count.first, count.last = min(count.first, at), max(count.last, at)
        if duration_s is not None:
            count.shortest, count.longest = min(count.shortest, duration_s), max(count.longest, duration_s)
        if request:
            _bump(count.requests, request, MOST_REQUESTS)
        if sample is not None and len(count.samples) < SAMPLES:
            count.samples.append(sample)

    def wants_sample(self, kind: Kind) -> bool:
        """Return whether a sample of this kind would be kept."""
        count = self.kinds.get(kind)
        return count is None or len(count.samples) < SAMPLES

    def fail(self, at: float, client: int) -> None:
        """Count a request that failed for its client; `client` is a `mark` of its address."""
        self.minutes[int(at) // 60] += 1
        if len(self.clients) < MOST_CLIENTS:
            self.clients.add(client)

    def traffic(self, target: Target) -> Traffic | None:
        """Return where the attempts at a target are counted; None when there are too many targets."""
        found = self.targets.get(target)
        if found is None and len(self.targets) < MOST_TARGETS:
            found = self.targets[target] = Traffic()
        return found

    def merge(self, other: Tallies) -> None:
        """Add what was counted in a later part of the logs."""
        self.requests += other.requests
        self.by_status += other.by_status
        self.minutes += other.minutes
        for kind, count in other.kinds.items():
            self._count(kind).merge(count)
        for target, traffic in other.targets.items():
            if (mine := self.traffic(target)) is not None:
                mine.merge(traffic)
        self.paths.merge(other.paths)
        self.clients |= set(sorted(other.clients)[: MOST_CLIENTS - len(self.clients)])

    def value(
        self,
        files: tuple[LogFile, ...] = (),
        *,
        has_access: bool = False,
        has_upstream_fields: bool = False,
        has_error: bool = False,
    ) -> LogSummary:
        """Return all that was counted, most frequent first."""
        tallies = [count.tally(kind) for kind, count in self.kinds.items()]
        return LogSummary(
            files=files,
            tallies=tuple(sorted(tallies, key=lambda tally: (-tally.count, tally.symptom, str(tally.target), repr(tally)))),
            targets=tuple(self.targets[target].value(target) for target in sorted(self.targets)),
            paths=self.paths.value(),
            requests=self.requests,
            by_status=dict(sorted(self.by_status.items())),
            by_minute={
                f"{datetime.fromtimestamp(60 * minute, UTC):%Y-%m-%dT%H:%M}": self.minutes[minute]
                for minute in sorted(self.minutes)
            },
            has_access=has_access,
            has_upstream_fields=has_upstream_fields,
            has_error=has_error,
            clients=len(self.clients),
        )

    def _count(self, kind: Kind) -> Count:
        count = self.kinds.get(kind)
        if count is None:
            if len(self.kinds) >= MOST_KINDS:
                kind = kind.coarse()
            count = self.kinds.setdefault(kind, Count())
        return count


def mark(text: str) -> int:
    """Return a number for a text, the same in every process."""
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def _bump(counter: Counter[str], key: str, most: int, count: int = 1) -> None:
    if key in counter or len(counter) < most:
        counter[key] += count
