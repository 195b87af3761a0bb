"""Rule: one check of `why502 lint`. The rules of a cause are in the cause's file, the others in `linter/rules/`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from why502.deployment.files import Deployment
from why502.model.base import Value
from why502.model.config import Position
from why502.model.finding import Risk, Severity
from why502.model.remedy import Remedy

Looks = Callable[[Deployment], Iterator[Risk]]


class Rule(Value, frozen=True, kw_only=True):
    """One rule.

    `id` never changes its meaning; `message` is its sentence, `reason` the explanation, `cause` the id of the failure it
    predicts.
    """

    id: str
    name: str
    severity: Severity
    message: str
    reason: str
    looks: Looks
    cause: str = ""  # "" in a cause's own file: means that cause
    product: str = "nginx"  # whose configuration it checks
    depends_on_build: bool = False  # an nginx that is built with modules of others may know what the packaged one refuses


def rule(
    number: int, name: str, severity: Severity, cause: str = "", *, depends_on_build: bool = False
) -> Callable[[Looks], Rule]:
    """Return a decorator that makes a function a rule; the first paragraph of the docstring is its message, the rest its
    reason.
    """

    def made(looks: Looks) -> Rule:
        message, _, reason = inspect.cleandoc(looks.__doc__ or "").partition("\n\n")
        return Rule(
            id=f"W502-{number:03d}",
            name=name,
            severity=severity,
            cause=cause,
            message=" ".join(message.split()),
            reason=" ".join(reason.split()),
            looks=looks,
            depends_on_build=depends_on_build,
        )

    return made


def risk(message: str, at: Position | None, *advice: str | Remedy, severity: Severity | None = None) -> Risk:
    """Return a finding of a rule. `advice`: what to do, as text or as a remedy."""
    remedies = tuple(Remedy(message=item) if isinstance(item, str) else item for item in advice)
    return Risk(message=message, at=at, remedies=remedies, severity=severity)
