"""The values of `why502 logs` that every output shows. Durations are in seconds, times in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from why502.model.base import Value


class Times(Value, frozen=True, kw_only=True):
    """Percentiles of some times, in seconds."""

    count: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


class File(Value, frozen=True, kw_only=True):
    """One file. `format` in words, `said_by` who says that it has it."""

    path: str
    format: str = ""
    log_format: str = ""
    said_by: str = ""
    size_bytes: int = 0
    read_bytes: int = 0
    lines: int = 0
    unfit: int = 0
    reason: str = ""  # why it, or its end, was not read


class Row(Value, frozen=True, kw_only=True):
    """A route, server, client, minute… `lacking`: at most so many requests of it may be missing from the count."""

    name: str
    requests: int = 0
    failures: int = 0
    statuses: dict[str, int] = {}  # of the failures; of all requests where that is known
    times: Times | None = None

    @property
    def share(self) -> float:
        """Return which share of its requests failed."""
        return self.failures / self.requests if self.requests else 0.0


class TargetRow(Value, frozen=True, kw_only=True):
    """One target. `attempts` that were sent to it, `failures` of them, `hidden` of these were made good by another attempt."""

    target: str
    group: str = ""
    attempts: int = 0
    failures: int = 0
    hidden: int = 0
    statuses: dict[str, int] = {}
    connect: Times | None = None
    header: Times | None = None
    response: Times | None = None
    connect_timeout_s: float | None = None
    read_timeout_s: float | None = None  # where locations differ the shortest
    longest_read_timeout_s: float | None = None
    is_bad: bool = False  # it fails far more often than the others of its group
    others_share: float | None = None  # which share of the others' attempts failed

    @property
    def share(self) -> float:
        """Return which share of its attempts failed."""
        return self.failures / self.attempts if self.attempts else 0.0


class CauseRow(Value, frozen=True, kw_only=True):
    """What failed attempts or lines of an error log stand for. `cause` "": no single one. `source`: access or error log."""

    symptom: str
    cause: str = ""
    message: str = ""
    side: str = ""
    source: str = "access"
    count: int = 0
    is_failure: bool = True
    targets: dict[str, int] = {}
    first: datetime | None = None
    last: datetime | None = None
    place: str = ""
    text: str = ""


class Wording(Value, frozen=True, kw_only=True):
    """Messages that no rule knows, alike but for what `*` stands for. `place` and `text`: of the first; times where they tell one."""

    text: str
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    place: str = ""
    sample: str = ""


class Burst(Value, frozen=True, kw_only=True):
    """Minutes with far more failures than the log has otherwise. `usual`: failures a minute outside of it."""

    start: datetime
    end: datetime  # the end of its last minute
    peak_at: datetime
    peak: int
    failures: int
    requests: int
    usual: float
    changed: tuple[str, ...] = ()


class Minute(Value, frozen=True, kw_only=True):
    """One minute, or hour (see Report.step_s). `hidden`: attempts made good; `statuses`, `symptoms`: of the failures."""

    at: datetime
    requests: int = 0
    failures: int = 0
    hidden: int = 0
    statuses: dict[str, int] = {}
    symptoms: dict[str, int] = {}


class Report(Value, frozen=True, kw_only=True):
    """Everything. `failures`: requests whose client got one; `hidden_requests`: those where a retry made it good."""

    files: tuple[File, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None
    is_partial: bool = False
    only: str = ""
    where: tuple[str, ...] = ()  # the conditions of the lines that everything is about; none: all lines
    lines: int = 0
    unfit: int = 0
    unfit_first: tuple[tuple[str, str], ...] = ()
    requests: int = 0
    failures: int = 0
    hidden_requests: int = 0
    hidden_attempts: int = 0
    by_status: dict[str, int] = {}
    by_attempts: dict[str, Row] = {}
    step_s: int = 60  # 3600 for logs of more than 45 days
    minutes: tuple[Minute, ...] = ()
    bursts: tuple[Burst, ...] = ()  # of a partial reading none: what was not read looks like quiet
    causes: tuple[CauseRow, ...] = ()
    targets: tuple[TargetRow, ...] = ()
    routes: tuple[Row, ...] = ()
    servers: tuple[Row, ...] = ()
    clients: tuple[Row, ...] = ()
    by: str = ""  # the field that `asked` is about, by a name that no other table has
    asked: tuple[Row, ...] = ()
    wordings: tuple[Wording, ...] = ()
    has_upstream_fields: bool = False
    time_error: float = 0.0  # how far a percentile may be off, as a share of itself
    lost: dict[str, int] = {}  # routes, clients, servers -> how many requests the count of one may lack

    @property
    def share(self) -> float:
        """Return which share of the requests failed."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def unfit_share(self) -> float:
        """Return which share of the lines nobody could read."""
        return self.unfit / self.lines if self.lines else 0.0


class Answer(Value, frozen=True, kw_only=True):
    """The rows that a query gave, cut where there are very many, with the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool = False
