"""Report: the result of `why502 lint` before it is rendered."""

from __future__ import annotations

from collections.abc import Mapping

from why502.model.base import Value
from why502.model.finding import Risk, Severity
from why502.model.snapshot import Gap


class Report(Value, frozen=True, kw_only=True):
    """`suppressed` and `known`: findings covered by comments and by the baseline.

    `base`: the directory that file names are relative to.
    """

    risks: tuple[Risk, ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: int = 0
    suppressed: int = 0
    known: int = 0
    nginx_version: str = ""
    base: str = ""
    fingerprints: Mapping[Risk, str] = {}

    def name(self, file: str) -> str:
        """Return how a file is called in the answer: from the current directory, where it lies in it."""
        return file.removeprefix(f"{self.base}/") if self.base else file

    def count(self, severity: Severity) -> int:
        """Return how many findings are that bad."""
        return sum(risk.severity is severity for risk in self.risks)

    def worst(self) -> int:
        """Return the rank of the worst finding; -1 where there is none."""
        return max((risk.severity.rank for risk in self.risks if risk.severity), default=-1)
