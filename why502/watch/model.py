"""What passes between the parts of `why502 watch`.

The reader makes `Observed`, the checker `CheckResult`, the recorder of changes `Change`, the sampler `Limit`. `state.py` turns
them into `Incident` values and `Message` values. The store keeps all of them. Times are aware UTC, durations and intervals are in
seconds, minutes are counted since the epoch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from why502.logs.checkpoint import Checkpoint
from why502.model.base import Value
from why502.model.finding import Finding, Layer
from why502.model.logs import Symptom
from why502.model.target import Target


class RequestKey(NamedTuple):
    """Requests that are counted together. `location`: server name and configured location ("shop.example/api/")."""

    proxy: str
    location: str
    code: str  # 2xx, 3xx, 4xx, 499, 502, 503, 504, 5xx, other


class FailureKey(NamedTuple):
    """Failed requests that are counted together. `target`: as configured; "" where no peer was asked."""

    proxy: str
    location: str
    target: str
    symptom: str


class AttemptKey(NamedTuple):
    """Attempts that are counted together. `outcome`: "ok", or a symptom."""

    proxy: str
    target: str
    outcome: str


class TargetKey(NamedTuple):
    """One peer of one proxy."""

    proxy: str
    target: str


class LocationKey(NamedTuple):
    """One location of one proxy, as in RequestKey."""

    proxy: str
    location: str


class RouteKey(NamedTuple):
    """A location, and what serves it: a group of targets, or else one target that is not in a group."""

    proxy: str
    location: str
    group: str
    target: str


class PeerKey(NamedTuple):
    """A target of a group."""

    proxy: str
    group: str
    target: str


class OwnerKey(NamedTuple):
    """What serves a target on this machine: `name` is a unit, a container, or "pid 17" of a process."""

    proxy: str
    target: str
    name: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Configured:
    """What the configuration in force names. Its counters are shown from 0 on, and end an hour after it no longer names them."""

    targets: frozenset[TargetKey] = frozenset()
    locations: frozenset[LocationKey] = frozenset()
    routes: frozenset[RouteKey] = frozenset()
    peers: frozenset[PeerKey] = frozenset()
    owners: frozenset[OwnerKey] = frozenset()


@dataclass(slots=True, kw_only=True)
class Observed:
    """What one log added since it was read last. Every count is by (minute, key).

    `failures` are requests whose client got a failure; `recovered` are attempts whose failure a retry kept from the client.
    `checks`: requests of why502 and of load balancers that check the health of a server; they are counted nowhere else.
    `durations`: numbers of a histogram's buckets (why502.logs.scan.histogram). `overflow`: counts under "other" because
    there were too many keys. `reason`: why the log cannot be read now. `misfit`: why its lines cannot be parsed; None: unknown.
    `note`: something that a person must know about the log.
    Minutes before `live_since` are history and open no incident; `is_history`: there are no others.
    """

    log: str
    proxy: str
    checkpoint: Checkpoint | None = None
    requests: Counter[tuple[int, RequestKey]] = field(default_factory=Counter)
    failures: Counter[tuple[int, FailureKey]] = field(default_factory=Counter)
    attempts: Counter[tuple[int, AttemptKey]] = field(default_factory=Counter)
    recovered: Counter[tuple[int, TargetKey]] = field(default_factory=Counter)
    durations: dict[tuple[int, TargetKey], Counter[int]] = field(default_factory=dict)
    checks: Counter[int] = field(default_factory=Counter)
    overflow: int = 0
    lines: int = 0
    unparsed: int = 0
    lost_bytes: int = 0
    lost_lines: int = 0  # that a journal suppressed
    lag_bytes: int = 0
    lag_s: float = 0.0
    rotations: int = 0
    newest_at: datetime | None = None
    reason: str = ""
    note: str = ""
    misfit: str | None = None
    live_since: int = 0
    is_history: bool = False


class Phase(StrEnum):
    """A part of a check."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first-byte"


class CheckResult(Value, frozen=True, kw_only=True):
    """One active check of one peer, made as its proxy makes its requests. `symptom` None: the check passed."""

    proxy: str
    group: str
    peer: Target
    at: datetime
    symptom: Symptom | None = None
    reason: str = ""
    haproxy_code: str = ""  # the same in HAProxy's words: L4CON, L7STS…
    status: int | None = None
    phases_s: dict[Phase, float] = {}
    certificate_ends_at: datetime | None = None
    is_unknown: bool = False  # it could not be made; `reason` says why


class Blindness(Value, frozen=True, kw_only=True):
    """Since when the checks of other machines say nothing, because this machine's own network fails. `reason` "": it works."""

    at: datetime
    reason: str = ""


class MemberStatus(StrEnum):
    """What the checks say of a peer. UNKNOWN is neither up nor down, and pages nobody."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Member(Value, frozen=True, kw_only=True):
    """A peer and its checks."""

    proxy: str
    group: str
    peer: Target
    status: MemberStatus = MemberStatus.UNKNOWN
    since: datetime | None = None
    in_a_row: int = 0  # results that differ from `status`
    last: CheckResult | None = None


class ChangeKind(StrEnum):
    """What changed on the machine."""

    CONFIG = "config"
    RELOAD = "reload"
    UNIT = "unit"
    PACKAGE = "package"
    CERTIFICATE = "certificate"
    IMAGE = "image"
    RELEASE = "release"


class Change(Value, frozen=True, kw_only=True):
    """One change, and what it touches: by that it is told whether it concerns a target that fails."""

    kind: ChangeKind
    subject: str  # unit, package, file, container, link
    at: datetime
    detail: str = ""
    paths: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()  # where it is known that only the routes to these changed
    is_planned: bool = False  # somebody ordered it: a stop, not a crash


class LimitKind(StrEnum):
    """A resource that can run out."""

    MEMORY = "memory"
    DESCRIPTORS = "nofile"
    CONNTRACK = "conntrack"
    PORTS = "ports"
    WORKER_CONNECTIONS = "worker_connections"
    FPM_CHILDREN = "php_fpm_children"
    LISTEN_QUEUE = "listen_queue"
    DISK = "disk"
    SHARED_MEMORY = "shm"
    CERTIFICATE = "certificate"  # used: seconds of its validity that are over; limit: all of them


class Limit(Value, frozen=True, kw_only=True):
    """How much of a limit is used. `exhausted_at`: the forecast, where there is one; `severity`: whom that should wake.

    `since`: when what is measured began, such as the start of the process: what was measured before says nothing about it.
    """

    kind: LimitKind
    subject: str  # whose: a unit, a target, a file system, "front shop.example" or "upstream 10.0.0.5:443" of a certificate
    at: datetime
    used: float
    limit: float
    since: datetime | None = None
    exhausted_at: datetime | None = None
    severity: Severity | None = None
    reason: str = ""  # why the forecast says so

    @property
    def ratio(self) -> float:
        """Return the used part, 0 to 1."""
        return self.used / self.limit if self.limit else 0.0


class Severity(StrEnum):
    """Whom an incident wakes. PAGE: now. TICKET: during the day. NONE: nobody; it is only recorded."""

    PAGE = "page"
    TICKET = "ticket"
    NONE = "none"


class Occasion(StrEnum):
    """When a diagnosis was made."""

    OPENED = "opened"
    CHANGED = "changed"
    LATER = "later"
    CLOSED = "closed"


class Diagnosed(Value, frozen=True, kw_only=True):
    """The finding for an incident at one time; None if no cause could be established, and then why."""

    at: datetime
    occasion: Occasion
    finding: Finding | None = None
    reason: str = ""


class Proposal(Value, frozen=True, kw_only=True):
    """The change that would fix an incident. `is_valid`: the gateway's own test of a copy; None if it was not run."""

    summary: str
    diff: str = ""
    command: str = ""
    is_valid: bool | None = None
    test: str = ""  # of the command that tested it, the last words


class Transition(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    UPDATED = "updated"
    REOPENED = "reopened"
    RESOLVED = "resolved"


class Step(Value, frozen=True, kw_only=True):
    """One entry of an incident's timeline."""

    at: datetime
    message: str


class Incident(Value, frozen=True, kw_only=True):
    """Failures of one kind that belong together, from the first to the proof that they ended.

    `key` (version, then a hash of host, proxy, target or location, and family of symptoms) never changes; the diagnosis may.
    """

    id: str
    key: str
    host: str
    proxy: str
    symptom: str
    opened_at: datetime
    target: str = ""
    location: str = ""
    severity: Severity = Severity.PAGE
    closed_at: datetime | None = None
    closing: str = ""  # what proved that it ended, and what ended it
    first_failure_at: datetime | None = None
    last_failure_at: datetime | None = None
    failures: int = 0
    requests: int = 0  # of the same routes since it opened
    recovered: int = 0
    symptoms: dict[str, int] = {}
    locations: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    diagnosed: tuple[Diagnosed, ...] = ()
    proposal: Proposal | None = None
    changes: tuple[Change, ...] = ()  # those shortly before that concern it
    caused_by: str = ""  # id of the incident with the root cause
    earlier: str = ""  # id of the last incident with this key
    times_reopened: int = 0
    timeline: tuple[Step, ...] = ()
    labels: dict[str, str] = {}
    messages: int = 0  # transitions that were announced so far
    unlike_check: str = ""  # what differs between the check, which passes, and users' requests, which fail
    is_fixed: bool = False  # a change that concerns it came right before its end

    @property
    def is_open(self) -> bool:
        """Return whether it has not ended."""
        return self.closed_at is None

    @property
    def finding(self) -> Finding | None:
        """Return the latest finding."""
        return next((one.finding for one in reversed(self.diagnosed) if one.finding), None)

    @property
    def cause(self) -> str:
        """Return the id of the established cause, "" while there is none."""
        return self.finding.cause if self.finding else ""

    @property
    def fault_domain(self) -> Layer:
        """Return the fault domain of the cause."""
        return self.finding.layer if self.finding else Layer.NONE


class SeenFile(Value, frozen=True, kw_only=True):
    """A file as it was seen. `stamp`: of its inode, size and time; "" if it was missing. `digest`: "" if it could not be read."""

    stamp: str = ""
    digest: str = ""


class Seen(Value, frozen=True, kw_only=True):
    """What changes are told by, as of the last look: they are told after a pause, too.

    `units`: the invocation of each service that ran. `links`: where each led; None if it was missing.
    """

    at: datetime
    units: dict[str, str] | None = None
    files: dict[str, SeenFile] = {}
    links: dict[str, str | None] = {}


class Message(Value, frozen=True, kw_only=True):
    """One transition of an incident on its way to one receiver. `key` is the same each time it is sent.

    `sent_at`: when it was settled. With an `error` it was not taken: it was silenced, or refused for good. `is_quiet`: a note
    that wakes nobody.
    """

    key: str  # incident id and number of the transition
    receiver: str
    transition: Transition
    incident: Incident
    made_at: datetime
    is_quiet: bool = False
    tries: int = 0
    next_try_at: datetime | None = None
    sent_at: datetime | None = None
    thread: str = ""  # how the receiver names what was sent: a message id, a thread
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is committed in one transaction: either all of it is kept, or nothing.

    `bundles`: by incident id, the redacted bundle of its first seconds. `configured`, `seen`: None if they did not change.
    """

    at: datetime
    observed: list[Observed] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    bundles: dict[str, bytes] = field(default_factory=dict)
    configured: Configured | None = None
    seen: Seen | None = None
