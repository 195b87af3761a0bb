"""The values of `why502 logs` that every output format shows. Durations are in seconds, times in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from why502.model.base import Value


class Times(Value, frozen=True, kw_only=True):
    """Percentiles of a set of durations, in seconds."""

    count: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


class File(Value, frozen=True, kw_only=True):
    """One file. `format` is a description, `format_source` the source of that information."""

    path: str
    format: str = ""
    log_format: str = ""
    format_source: str = ""
    size_bytes: int = 0
    read_bytes: int = 0
    lines: int = 0
    unparsed: int = 0
    reason: str = ""  # reason why it was not read, or not to its end


class Row(Value, frozen=True, kw_only=True):
    """A route, server, client, minute… `lacking`: the maximum number of its requests that may be missing from the count."""

    name: str
    requests: int = 0
    failures: int = 0
    statuses: dict[str, int] = {}  # of the failures; of all requests if that is known
    times: Times | None = None

    @property
    def share(self) -> float:
        """Return the share of its requests that failed."""
        return self.failures / self.requests if self.requests else 0.0


class TargetRow(Value, frozen=True, kw_only=True):
    """One target. `attempts` sent to it, `failures` among them, and `recovered`: failures recovered by another attempt."""

    target: str
    group: str = ""
    attempts: int = 0
    failures: int = 0
    recovered: int = 0
    statuses: dict[str, int] = {}
    connect: Times | None = None
    header: Times | None = None
    response: Times | None = None
    connect_timeout_s: float | None = None
    read_timeout_s: float | None = None  # the shortest, if locations differ
    longest_read_timeout_s: float | None = None
    is_bad: bool = False  # it fails far more often than its peers in the group
    others_share: float | None = None  # share of the peers' attempts that failed

    @property
    def share(self) -> float:
        """Return the share of its attempts that failed."""
        return self.failures / self.attempts if self.attempts else 0.0


class CauseRow(Value, frozen=True, kw_only=True):
    """The meaning of failed attempts or error-log lines. `cause` "": no single cause. `source`: access or error log."""

    symptom: str
    cause: str = ""
    message: str = ""
    fault_domain: str = ""
    source: str = "access"
    count: int = 0
    is_failure: bool = True
    targets: dict[str, int] = {}
    first: datetime | None = None
    last: datetime | None = None
    place: str = ""
    text: str = ""


class Wording(Value, frozen=True, kw_only=True):
    """Messages that no rule matches, identical except at each `*`.

    `place` and `text` are of the first; times if the messages have one.
    """

    text: str
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    place: str = ""
    sample: str = ""


class Burst(Value, frozen=True, kw_only=True):
    """Minutes with far more failures than the rest of the log. `usual`: failures per minute outside of it."""

    start: datetime
    end: datetime  # the end of its last minute
    peak_at: datetime
    peak: int
    failures: int
    requests: int
    usual: float
    changed: tuple[str, ...] = ()


class Minute(Value, frozen=True, kw_only=True):
    """One minute, or hour (Report.step_s). `recovered`: attempts, by a retry; `statuses`, `symptoms`: of the failures."""

    at: datetime
    requests: int = 0
    failures: int = 0
    recovered: int = 0
    statuses: dict[str, int] = {}
    symptoms: dict[str, int] = {}


class Report(Value, frozen=True, kw_only=True):
    """The whole report. `failures`: requests whose client got a failure; `recovered_requests`: requests recovered by a retry."""

    files: tuple[File, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None
    is_partial: bool = False
    only: str = ""
    where: tuple[str, ...] = ()  # the conditions that select the lines of this report; none: all lines
    absent: tuple[str, ...] = ()  # the fields of these conditions that no line has
    lines: int = 0
    unparsed: int = 0
    unparsed_first: tuple[tuple[str, str], ...] = ()
    requests: int = 0
    failures: int = 0
    recovered_requests: int = 0
    recovered_attempts: int = 0
    by_status: dict[str, int] = {}
    by_attempts: dict[str, Row] = {}
    step_s: int = 60  # 3600 for logs of more than 45 days
    minutes: tuple[Minute, ...] = ()
    bursts: tuple[Burst, ...] = ()  # none if only part of the log was read: unread minutes would look quiet
    causes: tuple[CauseRow, ...] = ()
    targets: tuple[TargetRow, ...] = ()
    routes: tuple[Row, ...] = ()
    servers: tuple[Row, ...] = ()
    clients: tuple[Row, ...] = ()
    by: str = ""  # the field of `asked`; its name differs from every other table
    asked: tuple[Row, ...] = ()
    wordings: tuple[Wording, ...] = ()
    has_upstream_fields: bool = False
    time_error: float = 0.0  # maximum relative error of a percentile
    lost: dict[str, int] = {}  # routes, clients, servers -> maximum number of requests that one count may lack

    @property
    def share(self) -> float:
        """Return the share of the requests that failed."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def unparsed_share(self) -> float:
        """Return the share of the lines that could not be parsed."""
        return self.unparsed / self.lines if self.lines else 0.0


class Answer(Value, frozen=True, kw_only=True):
    """The rows of a query's result, truncated if there are very many, with the column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool = False
