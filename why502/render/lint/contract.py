"""The JSON object why502.lint/1 as types. Its JSON Schema is generated from these.

Fields may be added; renaming a field or changing its meaning needs a new schema number.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from why502.model.finding import Severity
from why502.render.contract import Count, Gap, Remedy

LINT = "why502.lint/1"

Place = Annotated[int, Meta(ge=1)]


class Risk(msgspec.Struct):
    """One finding. `cause` is what it leads to, `layer` that cause's fault domain; `reason` says why the rule exists."""

    rule: str
    name: str
    severity: Severity
    cause: str
    layer: str
    message: str
    reason: str
    file: str | None
    line: Place | None
    column: Place | None
    fingerprint: Annotated[str, Meta(description="the same for the same finding after other lines changed")]
    remedies: list[Remedy]


class Summary(msgspec.Struct):
    """How many findings there are of each severity."""

    errors: Count
    warnings: Count
    notes: Count


class Lint(msgspec.Struct):
    """The answer of `why502 lint --format json`, findings in the order of files and lines."""

    schema: Literal["why502.lint/1"]
    why502: Annotated[str, Meta(description="version of the program")]
    nginx_version: Annotated[str | None, Meta(description="the version checked against; null: the newest")]
    files: Count
    summary: Summary
    suppressed: Annotated[int, Meta(ge=0, description="findings that a comment in the configuration ignores")]
    in_baseline: Count
    findings: list[Risk]
    gaps: list[Gap]
