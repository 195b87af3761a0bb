"""The required shape of a log, and the truth about the log that was written."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

GATEWAY_FAILURES = frozenset((499, 502, 503, 504))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What to write. Every default gives a small log with a little of everything.

    `lines` counts events: requests, errors and other messages. A wrapper that splits lines and a product that writes
    two lines for one failure make more physical lines than that; `Truth.lines` has their number.
    """

    format: str
    wrapper: str = "plain"
    lines: int = 1000
    clients: int = 50
    paths: int = 20
    targets: int = 4
    failures: float = 0.05
    """The share of requests that fail, 0 to 1."""
    attempts: int = 1
    """2: some requests try two targets, in formats which log that."""
    order: str = "time"
    """`time` or `shuffled`."""
    line_bytes: int = 0
    """The mean length of a line that the padding of user agents aims at (of queries, where a format has no agent)."""
    seed: int = 1
    start: datetime = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    span_s: int = 3600
    ip_family: int = 4
    zone_min: int = 0
    """The server's own time zone, minutes east of UTC. Readers need it for formats without a zone in the line."""
    odd: float = 0.02
    """The share of requests that are broken, and of those with an odd user agent."""
    noise: float = 0.03
    """The share of lines that are not requests, in formats that have such lines."""


@dataclass(slots=True, kw_only=True)
class Truth:
    """What the written log holds, counted from the choices that made it and never from its text."""

    format: str
    wrapper: str
    lines: int = 0
    """Physical lines, headers included."""
    size_bytes: int = 0
    requests: int = 0
    """Lines that report a request, broken ones included. 0 for error logs."""
    bad_requests: int = 0
    """Requests without a readable request line; they count in `requests`, `statuses` and `clients`, not in `routes`."""
    noise: int = 0
    """Messages that report neither a request nor an error of one."""
    aborted: int = 0
    """Requests aborted by the client, whatever status the product logs for that (499, 0, 460)."""
    retried: int = 0
    """Requests of two attempts in the line."""
    recovered: int = 0
    """Of `retried`, those that did not fail in the end though their first attempt did."""
    statuses: Counter[int] = field(default_factory=Counter)
    """As logged; 000 is 0."""
    failures: Counter[int] = field(default_factory=Counter)
    """Requests that failed with 499, 502, 503, 504. For error logs: the status which the server sends with that error."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Error logs: errors by kind. HAProxy's TCP log: connections by termination state."""
    minutes: Counter[str] = field(default_factory=Counter)
    """Requests per UTC minute, `2026-03-04T05:06Z`, by the server's own time in the line."""
    failed_minutes: Counter[str] = field(default_factory=Counter)
    targets: dict[str, Counter[int]] = field(default_factory=dict)
    """By `host:port` or name as logged: attempts by the target's status; 0 if the line has none for the attempt."""
    routes: dict[str, Counter[int]] = field(default_factory=dict)
    """By `GET /path`, unescaped, without query: requests by status."""
    clients: Counter[str] = field(default_factory=Counter)
    durations_us: Counter[int] = field(default_factory=Counter)
    """Requests by whole duration in µs, in the resolution of the format."""
    first: datetime | None = None
    last: datetime | None = None

    @property
    def failed(self) -> int:
        """The number of failed requests."""
        return self.failures.total()

    @property
    def duration_total_us(self) -> int:
        """The sum of all durations."""
        return sum(us * count for us, count in self.durations_us.items())

    def percentile_us(self, share: float) -> int:
        """The duration below or at which this share (0 to 1) of requests lies, by nearest rank."""
        rank = max(1, -(-int(share * 1_000_000) * self.durations_us.total() // 1_000_000))
        for us in sorted(self.durations_us):
            rank -= self.durations_us[us]
            if rank <= 0:
                return us
        raise ValueError("no durations in this format")

    def target_failed(self, target: str) -> int:
        """How many attempts at this target failed."""
        return failed_of(self.targets[target])

    def route_failed(self, route: str) -> int:
        """How many requests of this route failed."""
        return failed_of(self.routes[route])

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        out: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out["first"], out["last"] = (at and at.isoformat() for at in (self.first, self.last))
        return out

    def to_json(self) -> str:
        """The same as one line of JSON, keys of counters as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def failed_of(statuses: Counter[int]) -> int:
    """How many of these statuses are failures of a gateway."""
    return sum(count for status, count in statuses.items() if status in GATEWAY_FAILURES)
