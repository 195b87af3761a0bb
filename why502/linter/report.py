"""Report: the result of `why502 lint` before it is rendered."""

from __future__ import annotations

from collections.abc import Mapping

from why502.deployment.rule import Rule
from why502.linter.engine import RULES
from why502.model.base import Value
from why502.model.finding import Risk, Severity
from why502.model.snapshot import Gap


class Report(Value, frozen=True, kw_only=True):
    """`others`: the rules of other programs, by id. `columns`: in characters from 1, if that differs from the finding's column in
    bytes.

    `suppressed` and `known`: findings covered by comments and by the baseline. `base`: the directory that file names are
    relative to.
    """

    risks: tuple[Risk, ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: int = 0
    suppressed: int = 0
    known: int = 0
    nginx_version: str = ""
    checks_nginx: bool = True  # whether any of it is nginx's
    base: str = ""
    fingerprints: Mapping[Risk, str] = {}
    columns: Mapping[Risk, int] = {}
    others: Mapping[str, Rule] = {}

    def rule(self, id_: str) -> Rule:
        """Return the rule of that id: one of ours, or one of another program."""
        return self.others.get(id_) or RULES[id_]

    def name(self, file: str) -> str:
        """Return the displayed name of a file: relative to the current directory if it is inside."""
        return file.removeprefix(f"{self.base}/") if self.base else file

    def count(self, severity: Severity) -> int:
        """Return the number of findings of that severity."""
        return sum(risk.severity is severity for risk in self.risks)

    def worst(self) -> int:
        """Return the rank of the worst finding; -1 if there is none."""
        return max((risk.severity.rank for risk in self.risks if risk.severity), default=-1)
