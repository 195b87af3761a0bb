"""Finding, Evidence, Check, Diagnosis: the result of a diagnosis."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from why502.model.base import Value
from why502.model.config import Position
from why502.model.remedy import Remedy
from why502.model.snapshot import Gap
from why502.model.target import Target

# Weights of evidence in log-odds; a cause starts from PRIOR (about 5 %).
WEAK = 1.0
FAIR = 2.0
STRONG = 3.0
LIKELY = 4.0  # alone just above one half: the usual meaning of a line, which better evidence can refute
PROOF = 6.0
PRIOR = -3.0
ASSERTED = 0.5  # minimum confidence of an asserted finding
SERVED = "clients-served"  # the check whether clients get correct responses


class Layer(StrEnum):
    """The fault domain of a cause."""

    UPSTREAM = "upstream"
    PROXY = "proxy"
    NETWORK = "network"
    PLATFORM = "platform"
    CLIENT = "client"
    NONE = "none"


class Evidence(Value, frozen=True, kw_only=True):
    """One piece of evidence for (weight above 0) or against a cause. `source`: file:line, a command, or a probe."""

    message: str
    weight: float
    source: str = ""


def supports(message: str, source: str = "", weight: float = STRONG) -> Evidence:
    """Return evidence for a cause."""
    return Evidence(message=message, weight=weight, source=source)


def refutes(message: str, source: str = "", weight: float = STRONG) -> Evidence:
    """Return evidence against a cause."""
    return Evidence(message=message, weight=-weight, source=source)


class Place(Value, frozen=True, kw_only=True):
    """The route of a finding."""

    server: str = ""
    location: str = ""
    at: Position | None = None


class Finding(Value, frozen=True, kw_only=True):
    """One cause, weighed for one target."""

    cause: str
    layer: Layer
    confidence: float
    message: str
    target: Target | None = None
    group: str = ""  # the group's name, for a finding about a whole group without a single target
    proxy: str | None = None
    place: Place | None = None
    statuses: tuple[int, ...] = ()
    failures: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    ongoing: bool = False
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def subject(self) -> str:
        """What it is about: its target, else its group; "" for the proxy itself."""
        return str(self.target) if self.target is not None else self.group


class CheckStatus(StrEnum):
    """The result of a step of the checklist."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"


class Check(Value, frozen=True, kw_only=True):
    """One step of the checklist."""

    id: str
    title: str
    status: CheckStatus
    detail: str = ""


class Severity(StrEnum):
    """How bad a risk is. ERROR: refused, or every request fails. WARNING: will fail in a foreseeable case. NOTE: advice."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """A number; higher is worse."""
        return {"note": 0, "warning": 1, "error": 2}[self.value]


class Risk(Value, frozen=True, kw_only=True):
    """A lint finding: something that will become a cause. `rule` is the id of the rule; the engine fills it and `cause` in.

    `severity`: None means the severity of the rule.
    """

    message: str
    at: Position | None = None
    remedies: tuple[Remedy, ...] = ()
    cause: str = ""
    rule: str = ""
    severity: Severity | None = None


class Verdict(StrEnum):
    """The whole answer."""

    PROBLEM = "problem"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


class Diagnosis(Value, frozen=True, kw_only=True):
    """The answer: asserted and considered findings, best first, the checklist, and the gaps."""

    taken_at: datetime
    verdict: Verdict
    since: datetime | None = None
    until: datetime | None = None
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    gaps: tuple[Gap, ...] = ()
    requests: int = 0
    by_status: dict[str, int] = {}
    failures: int = 0
    hosts: tuple[str, ...] = ()
