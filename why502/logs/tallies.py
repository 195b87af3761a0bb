"""What a diagnosis needs of failures beside their number: by kind, with their spans, requests and first lines; in bounded memory.

Within these bounds, any split of the logs merges to the same tallies: MOST_KINDS kinds of symptom (then coarser ones),
MOST_TARGETS targets, MOST_REQUESTS different requests per kind (later ones are not listed).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from why502.logs.scan.histogram import middle
from why502.logs.zone import moment
from why502.model.logs import Phase, Sample, Symptom, Tally, TargetTraffic
from why502.model.target import Target
from why502.redaction import without_query

MOST_KINDS = 2000
MOST_TARGETS = 1000
MOST_REQUESTS = 256
MOST_STATUSES = 100
SAMPLES = 3
REQUESTS = 8
Order = tuple[int, int]  # number of the log, byte in it: the position of a line among all lines
LAST: Order = (1 << 62, 0)


class Kind(NamedTuple):
    """The key of a tally: every field that distinguishes one tally from another."""

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
        """Return a less specific kind, used when there are too many kinds."""
        return Kind(self.symptom, self.proxy, status=self.status, phase=self.phase, errno=self.errno, is_notice=self.is_notice)


class _Sum:
    """A sum that equals another with the same values. A dataclass would take longer to define than to use in most runs."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment] # it changes


class Count(_Sum):
    """How often and when a kind was seen. `samples`: the first lines, with their positions."""

    __slots__ = ("count", "first", "hidden", "last", "longest", "requests", "samples", "shortest")

    def __init__(self) -> None:
        self.count = self.hidden = 0
        self.first = self.shortest = math.inf
        self.last = self.longest = -math.inf
        self.requests: Counter[str] = Counter()
        self.samples: list[tuple[Order, Sample]] = []

    def show(self, order: Order, sample: Sample) -> None:
        """Keep a line as evidence if it is among the first."""
        self.samples.append((order, sample))
        self.samples.sort(key=lambda one: one[0])
        del self.samples[SAMPLES:]

    def update(self, other: Count) -> None:
        """Add the other's counts."""
        self.count += other.count
        self.hidden += other.hidden
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.shortest, self.longest = min(self.shortest, other.shortest), max(self.longest, other.longest)
        for request, count in other.requests.items():
            _bump(self.requests, request, MOST_REQUESTS, count)
        for order, sample in other.samples:
            self.show(order, sample)

    def tally(self, kind: Kind) -> Tally:
        """Return the Tally."""
        requests: Counter[str] = Counter()
        queried = set()
        for request, count in self.requests.items():
            shown = without_query(request)
            requests[shown] += count
            if request.endswith("?"):
                queried.add(shown)
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
            queried=tuple(request for request, _ in listed if request in queried),
            samples=tuple(sample for _, sample in self.samples),
        )


class Traffic(_Sum):
    """The outcomes of the attempts at one target. `times`: how many took how long, see the histogram."""

    __slots__ = ("attempts", "failures", "last_success", "statuses", "times")

    def __init__(self) -> None:
        self.attempts = self.failures = 0
        self.last_success = -math.inf
        self.times: Counter[int] = Counter()
        self.statuses: Counter[str] = Counter()

    def add(self, status: str, count: int = 1) -> None:
        """Count attempts that ended with a status, as written in the log."""
        self.attempts += count
        _bump(self.statuses, status, MOST_STATUSES, count)

    def fail(self, count: int = 1) -> None:
        """Count failures."""
        self.failures += count

    def succeed(self, at: float) -> None:
        """Record that at least one attempt succeeded in that second."""
        self.last_success = max(self.last_success, int(at))

    def update(self, other: Traffic) -> None:
        """Add the other's counts."""
        self.failures += other.failures
        self.last_success = max(self.last_success, other.last_success)
        self.times.update(other.times)
        for status, count in other.statuses.items():
            _bump(self.statuses, status, MOST_STATUSES, count)
        self.attempts += other.attempts

    def value(self, target: Target) -> TargetTraffic:
        """Return the TargetTraffic."""
        return TargetTraffic(
            target=target,
            attempts=self.attempts,
            failures=self.failures,
            last_success=moment(self.last_success),
            response_p95_s=self._percentile(0.95),
            statuses=dict(sorted(self.statuses.items())),
        )

    def _percentile(self, share: float) -> float | None:
        left = share * self.times.total()
        for number in sorted(self.times):
            left -= self.times[number]
            if left <= 0:
                return round(middle(number) / 1e6, 4)
        return None


class Tallies(_Sum):
    """Failures by kind, and the outcomes of the attempts at each target."""

    __slots__ = ("kinds", "targets")

    def __init__(self) -> None:
        self.kinds: dict[Kind, Count] = {}
        self.targets: dict[Target, Traffic] = {}

    def add(
        self,
        kind: Kind,
        at: float | None,
        *,
        sample: Sample | None = None,
        order: Order = LAST,
        request: str = "",
        duration_s: float | None = None,
        is_hidden: bool = False,
    ) -> None:
        """Count one occurrence. `at` None: the time is unknown. `request` is unredacted, with its secrets.

        `sample` may be None if Count.samples is full: see `wants_sample`. `order`: its position among all lines.
        """
        count = self._count(kind)
        count.count += 1
        count.hidden += is_hidden
        if at is not None:
            count.first, count.last = min(count.first, at), max(count.last, at)
        if duration_s is not None:
            count.shortest, count.longest = min(count.shortest, duration_s), max(count.longest, duration_s)
        if request:
            _bump(count.requests, request, MOST_REQUESTS)
        if sample is not None:
            count.show(order, sample)

    def merge(self, other: Tallies) -> None:
        """Add the counts of another part of the logs, which stay as they are."""
        for kind, count in other.kinds.items():
            self._count(kind).update(count)
        for target, traffic in other.targets.items():
            if (found := self.traffic(target)) is not None:
                found.update(traffic)

    def expire(self, before: float) -> None:
        """Drop the kinds that were last seen before that second; those without a time stay."""
        self.kinds = {kind: count for kind, count in self.kinds.items() if not -math.inf < count.last < before}

    def wants_sample(self, kind: Kind) -> bool:
        """Return whether a sample of this kind would be kept."""
        count = self.kinds.get(kind)
        return count is None or len(count.samples) < SAMPLES

    def traffic(self, target: Target) -> Traffic | None:
        """Return the counter for the attempts at a target; None when there are too many targets."""
        found = self.targets.get(target)
        if found is None and len(self.targets) < MOST_TARGETS:
            found = self.targets[target] = Traffic()
        return found

    def listed(self) -> tuple[Tally, ...]:
        """Return the kinds, the most frequent first."""
        tallies = [count.tally(kind) for kind, count in self.kinds.items()]
        return tuple(sorted(tallies, key=lambda tally: (-tally.count, tally.symptom, str(tally.target), repr(tally))))

    def traffics(self) -> tuple[TargetTraffic, ...]:
        """Return the outcomes at each target."""
        return tuple(self.targets[target].value(target) for target in sorted(self.targets))

    def _count(self, kind: Kind) -> Count:
        count = self.kinds.get(kind)
        if count is None:
            if len(self.kinds) >= MOST_KINDS:
                kind = kind.coarse()
            count = self.kinds.setdefault(kind, Count())
        return count


def _bump(counter: Counter[str], key: str, most: int, count: int = 1) -> None:
    if key in counter or len(counter) < most:
        counter[key] += count
