"""A check of configuration before it runs: what to read, and its findings without those that a comment or the baseline covers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from why502.deployment.rule import Rule
from why502.host import output
from why502.host.base import Host
from why502.linter import baseline as baselines
from why502.linter import suppression
from why502.linter.engine import lint
from why502.linter.given import Given, gather
from why502.linter.report import Report
from why502.model.errors import Why502Error
from why502.model.finding import Risk
from why502.redaction import know
from why502.redaction.snapshots import worth_knowing


def read(host: Host, paths: Iterable[str], version: str, standard_input: bytes | None = None) -> Given:
    """Return what the files, directories and standard input (`-`) hold; no output shows the secrets in it from here on.

    Raises Why502Error where there is nothing to check.
    """
    paths = tuple(paths)
    given = gather(host, [path if path == "-" else str(Path(path).absolute()) for path in paths], version, standard_input)
    if not given.texts and not given.gaps:
        raise Why502Error(f"nothing to check in {', '.join(paths)}", "Give nginx configuration, PHP-FPM pools or systemd units.")
    know(worth_knowing(given.texts.values()))
    return given


def check(
    given: Given,
    chosen: tuple[Rule, ...],
    version: str,
    *,
    base: str,
    baseline: str | None = None,
    write_baseline: str | None = None,
) -> tuple[Report, tuple[str, ...]]:
    """Return the report, and notices about comments that suppress nothing known.

    `base`: the directory that file names are relative to.

    `baseline`: a file of findings that are not reported; `write_baseline`: where to write the current ones. Raises Why502Error.
    """
    risks: list[Risk] = []
    gaps = list(given.gaps)
    for deployment in given.deployments:
        found, failed = lint(deployment, chosen)
        gaps.extend(failed)
        shown = (risk for risk in found if given.shown is None or risk.at is None or risk.at.file in given.shown)
        risks.extend(msgspec.structs.replace(risk, message=risk.message.replace(f"{base}/", "")) for risk in shown)
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
        base=base,
        fingerprints=baselines.fingerprints(new, given.texts, base),
    )
    return report, tuple(suppressions.notices)


def _content(path: str) -> bytes:
    """Return what a baseline holds. Raises Why502Error."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", "Write one with --write-baseline FILE.") from error
