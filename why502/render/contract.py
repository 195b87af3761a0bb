"""The JSON objects why502.diagnosis/1, why502.explanation/1 and why502.reference/1 as types, from which JSON Schemas are made.

Fields may be added; renaming a field or changing its meaning needs a new schema number. Times are RFC 3339 in UTC, to the
second.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from why502.model.finding import CheckStatus, Layer, Verdict

DIAGNOSIS = "why502.diagnosis/1"
EXPLANATION = "why502.explanation/1"
REFERENCE = "why502.reference/1"

Confidence = Annotated[float, Meta(ge=0, le=1, description="from 0.5 on an assertion; below, it was considered")]
Time = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0)]
CauseId = Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", description="an id that `why502 explain` knows")]


class Window(msgspec.Struct):
    """The time window examined."""

    since: Time | None
    until: Time | None


class Route(msgspec.Struct):
    """The rule of the proxy that leads to the target."""

    server: str
    location: str
    file: str | None
    line: Annotated[int, Meta(ge=1)] | None


class Evidence(msgspec.Struct):
    """One observation. A negative weight (log-odds) speaks against the cause."""

    message: str
    source: Annotated[str, Meta(description="file:line, a command, or a probe; empty where it follows from the rest")]
    weight: float


class Edit(msgspec.Struct):
    """A change of one file, as a unified diff."""

    file: str
    line: Annotated[int, Meta(ge=1)]
    diff: str


class Step(msgspec.Struct):
    """One step of a remedy: either a change of a file, or a command."""

    edit: Edit | UnsetType = UNSET
    run: list[str] | UnsetType = UNSET


class Remedy(msgspec.Struct):
    """A repair. `safe`: may be applied without asking. Without steps it is advice."""

    message: str
    safe: bool
    steps: list[Annotated[Step, Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})]]


class Finding(msgspec.Struct):
    """One cause, for one target."""

    cause: CauseId
    layer: Layer
    confidence: Confidence
    target: (
        Annotated[
            str,
            Meta(
                description="the address really connected to: host:port or unix:/path; "
                "the group's name for findings about a whole group"
            ),
        ]
        | None
    )
    proxy: str | None
    route: Route | None
    statuses: list[Annotated[int, Meta(ge=0, le=999)]]
    failures: Count
    first_seen: Time | None
    last_seen: Time | None
    ongoing: bool
    message: str
    evidence: list[Evidence]
    remedies: list[Remedy]


class Check(msgspec.Struct):
    """One step of the checklist."""

    id: str
    title: str
    status: CheckStatus
    detail: str


class Gap(msgspec.Struct):
    """Something that could not be examined, and the access needed."""

    source: str
    reason: str
    hint: str


class Traffic(msgspec.Struct):
    """Totals of the access logs in the window."""

    requests: Count
    by_status: dict[str, Count]
    failures: Count


class Diagnosis(msgspec.Struct):
    """The answer of `why502 diagnose --format json`. Findings are best first."""

    schema: Literal["why502.diagnosis/1"]
    why502: Annotated[str, Meta(description="version of the program")]
    taken_at: Time
    window: Window
    verdict: Verdict
    hosts: list[str]
    findings: list[Finding]
    checks: list[Check]
    gaps: list[Gap]
    traffic: Traffic


class Candidate(msgspec.Struct):
    """A cause that may explain the input."""

    cause: CauseId
    layer: Layer
    confidence: Confidence
    message: str


class Explanation(msgspec.Struct):
    """The answer of `why502 explain --format json`. `fields` are those of the line: at, level, errno, phase, target…"""

    schema: Literal["why502.explanation/1"]
    input: str
    kind: Literal["log-line", "status", "code", "cause", "unrecognised"]
    proxy: str | None
    gateway_failure: Annotated[bool, Meta(description="false: not a failure of the gateway path")]
    cause: CauseId | None
    candidates: list[Candidate]
    fields: dict[str, Any]
    message: str
    next: list[str]
    remedies: list[Remedy]


class CauseEntry(msgspec.Struct):
    """A cause that `why502 explain` knows."""

    cause: CauseId
    layer: Layer
    message: str


class StatusEntry(msgspec.Struct):
    """An HTTP status. `gateway_failure`: it may mean that the request to a backend failed."""

    status: Annotated[str, Meta(pattern="^[0-9]{3}$")]
    message: str
    gateway_failure: bool


class ProductEntry(msgspec.Struct):
    """A gateway with the names of its codes."""

    proxy: str
    message: str
    codes: list[str]


class Reference(msgspec.Struct):
    """The answer of `why502 explain --format json` without a text: all that it knows."""

    schema: Literal["why502.reference/1"]
    causes: list[CauseEntry]
    statuses: list[StatusEntry]
    products: list[ProductEntry]


class CausePage(msgspec.Struct):
    """Everything known about a cause. `page` is Markdown; `codes`: by gateway, those that usually mean it."""

    cause: CauseId
    layer: Layer
    fault_domain: str
    message: str
    page: str
    symptoms: list[str]
    codes: dict[str, list[str]]
    next: list[str]
    remedies: list[Remedy]


class Code(msgspec.Struct):
    """A code of a gateway. `client_gets`: the status that the client receives, as text; null if that varies or is unknown."""

    code: str
    message: str
    client_gets: str | None
    gateway_failure: bool
    causes: Annotated[list[CauseId], Meta(description="the likeliest first")]


class GatewayPage(msgspec.Struct):
    """Everything known about a gateway's own codes. `about` is Markdown."""

    proxy: str
    message: str
    about: str
    codes: list[Code]
    next: list[str]
    references: list[str]


def schema_of(kind: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a type; further fields are allowed in every object."""
    (root,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **root, "$defs": definitions}
