"""Rule: one thing that `why502 lint` looks for. The rules of a cause stand in its file; the others below `lint/rules/`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from why502.deployment import Deployment
from why502.model.base import Value
from why502.model.config import Position
from why502.model.finding import Risk, Severity
from why502.model.remedy import Remedy

Looks = Callable[[Deployment], Iterator[Risk]]


class Rule(Value, frozen=True, kw_only=True):
    """One rule. `id` never changes its meaning; `says` is its sentence, `why` the explanation, `cause` the id of what it foresees."""

    id: str
    name: str
    severity: Severity
    says: str
    why: str
    looks: Looks
    cause: str = ""  # "" in a cause's own file: that cause


def rule(number: int, name: str, severity: Severity, cause: str = "") -> Callable[[Looks], Rule]:
    """Return what makes a rule of a function; the first line of its docstring is what the rule says, the rest why."""

    def made(looks: Looks) -> Rule:
        says, _, why = inspect.cleandoc(looks.__doc__ or "").partition("\n\n")
        return Rule(
            id=f"W502-{number:03d}", name=name, severity=severity, cause=cause, says=says, why=" ".join(why.split()), looks=looks
        )

    return made


def risk(says: str, at: Position | None, *advice: str | Remedy, severity: Severity | None = None) -> Risk:
    """Return a finding of a rule. `advice`: what to do, in words or as a remedy."""
    remedies = tuple(Remedy(says=said) if isinstance(said, str) else said for said in advice)
    return Risk(says=says, at=at, remedies=remedies, severity=severity)
