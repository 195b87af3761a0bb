"""`why502 lint --security`: the findings of gixy-ng, the security analyzer for nginx, as findings of separate rules.

gixy-ng is a third-party program (`pip install gixy-ng`); we call it and do not copy its checks. Its JSON: a list of objects with
`plugin`, `severity` (HIGH, MEDIUM, LOW, UNSPECIFIED), `summary`, `description`, `reason`, `reference`, `file` and `line`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from why502.deployment.files import Deployment
from why502.deployment.rule import Rule
from why502.host.base import Host
from why502.linter.inputs import LintInput
from why502.model.base import Value
from why502.model.config import Position
from why502.model.errors import HostError, Missing, Why502Error
from why502.model.finding import Risk, Severity
from why502.model.remedy import Remedy
from why502.model.snapshot import Gap

_SEVERITIES = {"HIGH": Severity.WARNING, "MEDIUM": Severity.WARNING}  # an error is a problem that makes requests fail
_LIMIT_S = 60.0
_MOST = 200  # the number of main files and fragments passed to it


@dataclass(frozen=True, slots=True)
class _Issue:
    plugin: str
    severity: str = ""
    summary: str = ""
    description: str = ""
    reason: str = ""
    reference: str = ""
    file: str = ""
    path: str = ""
    line: int = 1


class Security(Value, frozen=True, kw_only=True):
    """gixy-ng's findings, a rule for each of its checks, by id, and the files that it could not read."""

    risks: tuple[Risk, ...] = ()
    rules: dict[str, Rule] = {}
    gaps: tuple[Gap, ...] = ()


def check(given: LintInput, host: Host, version: str) -> Security:
    """Return gixy-ng's findings in the configurations. Raises Why502Error if it is not installed."""
    risks: dict[Risk, None] = {}
    rules: dict[str, Rule] = {}
    gaps = []
    for file in _files(given):
        try:
            issues = _issues(host, file, version)
        except (HostError, msgspec.DecodeError) as error:
            reason = error.reason if isinstance(error, HostError) else "its answer is not JSON"
            gaps.append(Gap(source=file, reason=f"gixy: {reason}", hint="run `gixy` on the file"))
            continue
        for issue in issues:
            rule = _rule(issue)
            rules.setdefault(rule.id, rule)
            at = Position(file=issue.file or issue.path or file, line=max(issue.line, 1))
            if given.shown is None or at.file in given.shown:
                risks[_risk(issue, rule, at)] = None
    if given.dumped:
        gaps.append(Gap(source="gixy", reason="a dump was not checked for security", hint="run `gixy` on the files themselves"))
    return Security(risks=tuple(risks), rules=rules, gaps=tuple(gaps))


def _files(given: LintInput) -> Iterator[str]:
    """Yield the first file of each configuration; gixy-ng reads included files itself."""
    found = [deployment.configuration.files[0].path for deployment in given.deployments if deployment.configuration.files]
    yield from [file for file in dict.fromkeys(found) if file not in given.dumped and file.startswith("/")][:_MOST]


def _issues(host: Host, file: str, version: str) -> list[_Issue]:
    """Raises HostError, msgspec.DecodeError, Why502Error."""
    beside = Path(sys.executable).parent / "gixy"
    argv = [
        str(beside) if beside.exists() else "gixy",
        "--format",
        "json",
        *(("--nginx-version", version) if version else ()),
        file,
    ]
    try:
        done = host.run(*argv, timeout_s=_LIMIT_S)
    except Missing as error:
        raise Why502Error("gixy is not installed", "Install it: pip install gixy-ng") from error
    if not done.stdout.strip():
        raise HostError((done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200])
    rows: list[dict[str, Any]] = msgspec.json.decode(done.stdout, type=list[dict[str, Any]])
    return [_issue(row) for row in rows]


def _issue(row: dict[str, Any]) -> _Issue:
    texts = {
        name: str(row.get(name) or "")
        for name in ("plugin", "severity", "summary", "description", "reason", "reference", "file", "path")
    }
    line = row.get("line")
    return _Issue(line=line if isinstance(line, int) else 1, **texts)


def _rule(issue: _Issue) -> Rule:
    name = issue.plugin.replace("_", "-")
    severity = _SEVERITIES.get(issue.severity.upper(), Severity.NOTE)
    return Rule(id=f"gixy-{name}", name=name, severity=severity, message=issue.summary, reason=issue.description, looks=_nothing)


def _nothing(_: Deployment) -> Iterator[Risk]:
    """Its findings come from gixy."""
    return iter(())


def _risk(issue: _Issue, rule: Rule, at: Position) -> Risk:
    message = issue.summary.rstrip(".") + (f": {issue.reason}" if issue.reason else "")
    advice = f"see {issue.reference}" if issue.reference else issue.description
    severity = _SEVERITIES.get(issue.severity.upper(), Severity.NOTE)
    return Risk(message=message, at=at, remedies=(Remedy(message=advice),), cause="unknown", rule=rule.id, severity=severity)


def merged(risks: Iterable[Risk], security: Security) -> list[Risk]:
    """Return our findings and gixy's, in the order of files and lines."""
    return sorted([*risks, *security.risks], key=lambda risk: (risk.at.file if risk.at else "", risk.at.line if risk.at else 0))
