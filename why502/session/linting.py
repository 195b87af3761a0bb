"""Checks configuration before it runs: reads the input and returns findings not covered by a comment or the baseline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from why502.deployment.rule import Rule
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.build import installed_version
from why502.host import output
from why502.host.base import Host
from why502.linter import baseline as baselines
from why502.linter import suppression
from why502.linter.engine import lint
from why502.linter.inputs import LintInput, gather
from why502.linter.report import Report
from why502.linter.security import Security, merged
from why502.model.errors import Why502Error
from why502.model.finding import Risk
from why502.redaction import know
from why502.redaction.snapshots import worth_knowing


def read(host: Host, paths: Iterable[str], version: str, standard_input: bytes | None = None) -> LintInput:
    """Return the content of the files, directories and standard input (`-`); from here on, no output shows the secrets in it.

    Raises Why502Error if there is nothing to check.
    """
    paths = tuple(paths)
    given = gather(host, [path if path == "-" else str(Path(path).absolute()) for path in paths], version, standard_input)
    if not given.texts and not given.gaps:
        raise Why502Error(
            f"nothing to check in {', '.join(paths)}",
            "Give a configuration of nginx, HAProxy or Apache, PHP-FPM pools or systemd units.",
        )
    know(worth_knowing(given.texts.values()))
    return given


def check(
    given: LintInput,
    chosen: tuple[Rule, ...],
    version: str,
    *,
    base: str,
    baseline: str | None = None,
    write_baseline: str | None = None,
    others: Security | None = None,
) -> tuple[Report, tuple[str, ...]]:
    """Return the report, and notices about comments that suppress nothing known.

    `base`: the directory that file names are relative to.

    `others`: what another program found. `baseline`: a file of findings that are not reported; `write_baseline`: where to
    write the current ones. Raises Why502Error.
    """
    base = base.rstrip("/")  # in the root directory every name is already absolute
    risks: list[Risk] = []
    gaps = list(given.gaps)
    for deployment in given.deployments:
        found, failed = lint(deployment, chosen)
        gaps.extend(failed)
        shown = (risk for risk in found if given.shown is None or risk.at is None or risk.at.file in given.shown)
        risks.extend(_shortened(risk, base) for risk in shown)
    if others is not None:
        gaps.extend(others.gaps)
        risks = merged(risks, others)
    suppressions = suppression.read(given.texts)
    left, suppressed = suppression.split(dict.fromkeys(risks), suppressions)
    new = left
    if write_baseline:
        output.write(write_baseline, baselines.write(left, given.texts, base), mode=output.usual_mode(write_baseline))
        new = ()
    elif baseline:
        new = baselines.unknown(left, _content(baseline), given.texts, base, baseline)
    report = Report(
        risks=new,
        gaps=tuple(dict.fromkeys(gaps)),
        files=len([file for file in given.texts if given.shown is None or file in given.shown]),
        suppressed=suppressed,
        known=len(left) - len(new),
        nginx_version=version,
        checks_nginx=any(behaviour(deployment.product).takes_directives for deployment in given.deployments),
        base=base,
        fingerprints=baselines.fingerprints(new, given.texts, base),
        others=others.rules if others else {},
        columns=dict(_columns(new, given.texts)),
    )
    return report, tuple(suppressions.notices)


def version(host: Host, asked: str | None) -> str:
    """Return the version that was asked for, else that of the installed nginx; "" is the newest. Raises Why502Error."""
    if asked is not None:
        if asked in ("newest", "latest"):
            return ""
        if not re.fullmatch(r"\d+(\.\d+){1,2}", asked):
            raise Why502Error(f"--nginx-version {asked!r} is not a version", "Write it like 1.22.1, or newest.")
        return asked if asked.count(".") == 2 else f"{asked}.0"
    return installed_version(host)


def _shortened(risk: Risk, base: str) -> Risk:
    """Return a finding that names the files below `base` without it."""
    start = f"{base}/"
    messages = [risk.message, *(remedy.message for remedy in risk.remedies)]
    if not base or not any(start in text for text in messages):
        return risk
    remedies = tuple(msgspec.structs.replace(remedy, message=remedy.message.replace(start, "")) for remedy in risk.remedies)
    return msgspec.structs.replace(risk, message=risk.message.replace(start, ""), remedies=remedies)


def _columns(risks: Iterable[Risk], texts: Mapping[str, str]) -> Iterator[tuple[Risk, int]]:
    """Yield the column in characters of each finding in a line with non-ASCII text."""
    lines: dict[str, list[str]] = {}
    for risk in risks:
        if risk.at is None or risk.at.file not in texts:
            continue
        if risk.at.file not in lines:
            lines[risk.at.file] = texts[risk.at.file].split("\n")
        line = lines[risk.at.file][risk.at.line - 1 : risk.at.line]
        if line and not line[0].isascii():
            yield risk, column_in_characters(line[0], risk.at.column)


def column_in_characters(line: str, column: int) -> int:
    """Return the column (from 1) in characters for a column in bytes of UTF-8; an invalid byte counts as one."""
    left = column - 1
    for number, character in enumerate(line, 1):
        if left <= 0:
            return number
        left -= 1 if character == "\ufffd" else len(character.encode("utf-8", "surrogateescape"))
    return len(line) + 1


def _content(path: str) -> bytes:
    """Return the content of a baseline. Raises Why502Error."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", "Write one with --write-baseline FILE.") from error
