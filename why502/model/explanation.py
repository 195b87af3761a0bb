"""Explanation: the meaning of a line, status, code or cause id."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from why502.model.base import Value
from why502.model.finding import Layer
from why502.model.remedy import Remedy


class Kind(StrEnum):
    """The kind of an input."""

    LOG_LINE = "log-line"
    STATUS = "status"
    CODE = "code"
    CAUSE = "cause"
    UNRECOGNISED = "unrecognised"


class Candidate(Value, frozen=True, kw_only=True):
    """A cause that may explain the input, with the confidence that the input alone supports."""

    cause: str
    layer: Layer
    confidence: float
    message: str


class Explanation(Value, frozen=True, kw_only=True):
    """The answer to one input. `cause` is the best candidate, None if nothing failed or no cause is known.

    `fields`: the fields of a line, or who sends a status. `notes`: further sentences for a reader, as Markdown.
    """

    input: str
    kind: Kind = Kind.UNRECOGNISED
    proxy: str | None = None
    gateway_failure: bool = False
    cause: str | None = None
    candidates: tuple[Candidate, ...] = ()
    fields: dict[str, Any] = {}
    message: str = ""
    next: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    notes: str = ""
    references: tuple[str, ...] = ()
