"""MetricsView: everything that the metrics are made of, at one time. The daemon fills it from the store and its threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from why502.watch.model import AttemptKey, Change, FailureKey, Incident, Limit, Member, RequestKey, TargetKey


class Histogram(Protocol):
    """The response times of one peer. `counts`: up to each of the view's `bounds_s`, not cumulative; and one for the rest."""

    counts: list[int]
    sum_s: float


class LogKind(StrEnum):
    """What a log holds. Only an access log has a line for each request, so only its silence means something."""

    ACCESS = "access"
    ERROR = "error"


@dataclass(slots=True, kw_only=True)
class LogTotal:
    """What was read from one log so far. `lag_bytes`: what is written but not read yet."""

    log: str
    kind: LogKind
    lines: int = 0
    unparsed: int = 0
    lost_bytes: int = 0
    rotations: int = 0
    lag_bytes: int = 0
    newest_at: datetime | None = None  # time of the newest line


class Role(StrEnum):
    """Which end of the proxy a certificate is for: the clients, or a backend."""

    FRONT = "front"
    UPSTREAM = "upstream"


@dataclass(slots=True, kw_only=True)
class Certificate:
    """When a certificate ends. `name`: its file, or the peer that shows it."""

    role: Role
    name: str
    ends_at: datetime


@dataclass(slots=True, kw_only=True)
class Route:
    """One configured location. `location` and `targets` are written as in the keys of the counters.

    `group`: the name of the upstream group; "" if it leads to one target.
    `timeouts_s`: the time limits in force by phase ("connect", "send", "read").
    """

    proxy: str
    location: str
    group: str = ""
    targets: tuple[str, ...] = ()
    timeouts_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class EndedIncidents:
    """The incidents of one cause that have closed. `seconds`: how long they lasted together. Neither ever falls."""

    cause: str
    fault_domain: str
    count: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class FailedRequest:
    """A recent failed request that can be looked up in the logs."""

    request_id: str
    at: datetime


@dataclass(slots=True, kw_only=True)
class MetricsView:
    """Everything that the metrics are made of. Counts are totals since the store began, at `began_at`.

    `at`: when the daemon last took stock; a hung daemon shows as an old time.
    `routes`: None if the configuration is unknown; then no series is taken for one of a removed target.
    `checks_failed`: failed checks; `outcome` is the symptom. `incidents`: those that are open, and those of the last 30 days.
    `in_force`: by proxy, whether the configuration on disk is the one that runs; without unknown ones.
    `notifications`: by receiver and outcome. A receiver is listed in `pending` even if nothing is pending.
    `gaps`: how many things could not be read. `diagnoses`, `diagnoses_s`: how many diagnoses were made, and their time.
    """

    at: datetime
    began_at: datetime
    host: str
    bounds_s: Sequence[float]
    requests: Mapping[RequestKey, int] = field(default_factory=dict)
    failures: Mapping[FailureKey, int] = field(default_factory=dict)
    attempts: Mapping[AttemptKey, int] = field(default_factory=dict)
    recovered: Mapping[TargetKey, int] = field(default_factory=dict)
    durations: Mapping[TargetKey, Histogram] = field(default_factory=dict)
    failed_requests: Mapping[FailureKey, FailedRequest] = field(default_factory=dict)
    routes: Sequence[Route] | None = None
    members: Sequence[Member] = ()
    checks_failed: Mapping[AttemptKey, int] = field(default_factory=dict)
    incidents: Sequence[Incident] = ()
    ended_incidents: Sequence[EndedIncidents] = ()
    limits: Sequence[Limit] = ()
    certificates: Sequence[Certificate] = ()
    changes: Sequence[Change] = ()
    in_force: Mapping[str, bool] = field(default_factory=dict)
    logs: Sequence[LogTotal] = ()
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    store_errors: int = 0
    gaps: int = 0
    diagnoses: int = 0
    diagnoses_s: float = 0.0
    is_reload_successful: bool = True
