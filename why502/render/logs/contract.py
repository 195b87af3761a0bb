"""The JSON object why502.logs/1 as types, without the tables of `--by`. Its JSON Schema is generated from these.

Fields may be added; renaming a field or changing its meaning needs a new schema number. Durations are in seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from why502.render.contract import Count, Time, Window

LOGS = "why502.logs/1"

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]


class Times(msgspec.Struct):
    """Percentiles of a set of durations."""

    count: Count
    p50_s: Seconds
    p90_s: Seconds
    p95_s: Seconds
    p99_s: Seconds
    max_s: Seconds


class File(msgspec.Struct):
    """One file. `error`: why it was not read, or not to its end."""

    path: str
    format: str
    log_format: str | None
    format_source: str
    size_bytes: Count
    read_bytes: Count
    lines: Count
    unparsed: Count
    error: str | None


class Sample(msgspec.Struct):
    """A line, and where it is."""

    source: str
    text: str


class Unparsed(msgspec.Struct):
    """Lines that match no known format."""

    lines: Count
    first: list[Sample]


class Recovered(msgspec.Struct):
    """Failures that a retry kept from the client."""

    requests: Count
    attempts: Count


class Exactness(msgspec.Struct):
    """How exact the figures are. `lacking`: the most requests that one count of a table may lack."""

    percentile_error: Annotated[float, Meta(ge=0, description="largest relative error of a percentile")]
    lacking: dict[str, int]
    message: str


class Burst(msgspec.Struct):
    """Minutes with far more failures than the rest."""

    start: Time
    end: Time
    peak_at: Time
    peak_per_minute: Count
    usual_per_minute: Annotated[float, Meta(ge=0)]
    failures: Count
    requests: Count
    changed: list[str]


class Cause(msgspec.Struct):
    """What failed attempts or lines of the error log mean."""

    cause: str | None
    symptom: str
    message: str
    fault_domain: str | None
    source: str
    failure: bool
    count: Count
    targets: dict[str, Count]
    first: Time | None
    last: Time | None
    sample: Sample | None


class Target(msgspec.Struct):
    """One target. `bad`: it fails far more often than its peers."""

    target: str
    group: str | None
    attempts: Count
    failures: Count
    share: Share
    recovered: Count
    statuses: dict[str, Count]
    bad: bool
    others_share: Share | None
    connect: Times | None
    header: Times | None
    response: Times | None
    connect_timeout_s: Seconds | None
    read_timeout_s: Seconds | None
    longest_read_timeout_s: Seconds | None


class Row(msgspec.Struct, kw_only=True):
    """The requests that have something in common. `statuses`: of the failures, or of all requests if that is known."""

    requests: Count
    failures: Count
    share: Share
    statuses: dict[str, Count]
    times: Times | UnsetType = UNSET


class Route(Row, kw_only=True):
    """A method and path."""

    route: str


class Server(Row, kw_only=True):
    """A server name."""

    server: str


class Client(Row, kw_only=True):
    """A client's address."""

    client: str


class Attempts(Row, kw_only=True):
    """Requests that took this many attempts."""

    attempts: str


class Clients(msgspec.Struct):
    """The clients with the most failures, and with the most requests."""

    failing: list[Client]
    busiest: list[Client]


class Message(msgspec.Struct):
    """Lines that no rule recognises, alike except at each `*`."""

    message: str
    count: Count
    first: Time | None
    last: Time | None
    sample: Sample


class Minute(msgspec.Struct):
    """One minute, or hour (`step_s`)."""

    minute: Annotated[str, Meta(description="its start in UTC: 2026-11-21T01:17Z")]
    requests: Count
    failures: Count
    recovered: Count
    statuses: dict[str, Count]
    symptoms: dict[str, Count]


class Logs(msgspec.Struct):
    """The answer of `why502 logs --format json` without --by."""

    schema: Literal["why502.logs/1"]
    why502: Annotated[str, Meta(description="version of the program")]
    window: Window
    first: Time | None
    last: Time | None
    partial: bool
    only: str
    where: list[str]
    files: list[File]
    lines: Count
    unparsed: Unparsed
    requests: Count
    failures: Count
    recovered: Recovered
    by_status: dict[str, Count]
    exactness: Exactness
    bursts: list[Burst]
    causes: list[Cause]
    targets: list[Target]
    routes: list[Route]
    slowest_routes: list[Route]
    servers: list[Server]
    clients: Clients
    unknown_messages: list[Message]
    attempts: list[Attempts]
    step_s: Count
    minutes: list[Minute]
