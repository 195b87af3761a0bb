"""The JSON objects why502.incident/1 and why502.incidents/1 as types. Their JSON Schemas are generated from these.

Fields may be added; renaming a field or changing its meaning needs a new schema number. Times are RFC 3339 in UTC, to the
second.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from why502.model.finding import Layer
from why502.render.contract import CauseId, Count, Finding, Time
from why502.watch.model import ChangeKind, Occasion, Severity

INCIDENT = "why502.incident/1"
INCIDENTS = "why502.incidents/1"


class Diagnosed(msgspec.Struct):
    """What a diagnosis found at one time; `finding` is null if no cause was established, and `reason` says why."""

    at: Time
    occasion: Occasion
    finding: Finding | None
    reason: str


class Fix(msgspec.Struct):
    """A change that would fix it. `is_valid`: what the gateway's own test of a copy said; null if it was not run."""

    message: str
    diff: str
    command: str
    is_valid: bool | None


class Change(msgspec.Struct):
    """A change on the machine shortly before, which concerns the targets that failed."""

    at: Time
    kind: ChangeKind
    subject: str
    detail: str


class Step(msgspec.Struct):
    """One entry of the timeline."""

    at: Time
    message: str


class Incident(msgspec.Struct):
    """One incident. `caused_by`, `earlier`: ids of the incident with the root cause, and of the last one like it."""

    schema: Literal["why502.incident/1"]
    id: str
    host: str
    proxy: str
    target: str | None
    location: str | None
    severity: Severity
    symptom: str
    message: str
    cause: CauseId | None
    layer: Layer | None
    opened_at: Time
    closed_at: Time | None
    duration_s: Annotated[float, Meta(ge=0, description="until now, while it is open")]
    closing: str
    first_failure_at: Time | None
    last_failure_at: Time | None
    failures: Count
    requests: Count
    recovered: Count
    symptoms: dict[str, Count]
    locations: list[str]
    targets: list[str]
    diagnosed: list[Diagnosed]
    fix: Fix | None
    changes: list[Change]
    timeline: list[Step]
    caused_by: str | None
    earlier: str | None
    times_reopened: Count
    labels: dict[str, str]


class Incidents(msgspec.Struct):
    """The answer of `why502 incidents list --format json`, the newest incident first."""

    schema: Literal["why502.incidents/1"]
    why502: Annotated[str, Meta(description="version of the program")]
    incidents: list[Incident]
