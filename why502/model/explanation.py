"""Explanation: the meaning of one line, status, code or cause id."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from why502.model.base import Value
from why502.model.finding import Layer
from why502.model.remedy import Remedy


class Kind(StrEnum):
    """What an input is."""

    LOG_LINE = "log-line"
    STATUS = "status"
    CODE = "code"
    CAUSE = "cause"
    UNRECOGNISED = "unrecognised"


class Candidate(Value, frozen=True, kw_only=True):
    """A cause that the input may stand for, as sure as the input alone makes it."""

    cause: str
    layer: Layer
    confidence: float
    message: str


class Explanation(Value, frozen=True, kw_only=True):
    """The answer to one input. `cause` is the best candidate, None where nothing failed or is known.

    `fields`: of a line what it tells, of a status who makes it. `notes`: further sentences for a reader, as Markdown.
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
