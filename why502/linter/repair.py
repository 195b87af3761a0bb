"""`why502 lint --fix`: applies the safe repairs. Each file is written once, and restored if nginx rejects the result.

A repair is kept only if it removes its finding and adds no error. Files are replaced as a whole (rename(2)) and keep their mode
and owner; a link stays a link.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from why502.config.edit import apply
from why502.deployment.rule import Rule
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.testing import is_accepted
from why502.host import trust
from why502.host.base import Host
from why502.linter import suppression
from why502.linter.engine import lint
from why502.linter.inputs import LintInput
from why502.model.errors import HostError, Why502Error
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit


def repair(given: LintInput, chosen: Iterable[Rule], host: Host, again: Callable[[], LintInput]) -> Iterator[str]:
    """Apply the safe repairs, and yield a line for each file: the repair, or why it was not made. `again` reads all files
    again.
    """
    rules = tuple(chosen)
    before = risks(given, rules)
    edits: dict[str, list[Edit]] = {}
    for risk in before:
        for step in _safe(risk):
            if step.file in given.dumped:
                continue
            others = edits.setdefault(step.file, [])
            if step not in others and all(step.end <= other.start or other.end <= step.start for other in others):
                others.append(step)
    whole = [
        deployment.configuration
        for deployment in given.deployments
        if deployment.is_whole and behaviour(deployment.product).takes_directives
    ]
    mains = {
        configuration.files[0].path
        for configuration in whole
        if configuration.files and not any(_stranger(file.path) for file in configuration.files)
    } - given.dumped
    tested = {main: is_accepted(host, main) for main in mains} if edits else {}
    for file, steps in sorted(edits.items()):
        yield _repair_file(file, steps, before, rules, again, host, tested)


def _repair_file(
    file: str,
    steps: list[Edit],
    before: tuple[Risk, ...],
    rules: tuple[Rule, ...],
    again: Callable[[], LintInput],
    host: Host,
    tested: dict[str, bool | None],
) -> str:
    if reason := _stranger(file):
        return f"{file}: not repaired: {reason}"
    try:
        old = Path(file).read_bytes()
        _write(file, apply(old, steps))
    except (OSError, Why502Error) as error:
        return f"{file}: not repaired: {error}"
    after = risks(again(), rules)
    errors = {(risk.rule, risk.message) for risk in after if risk.severity is Severity.ERROR}
    new = errors - {(risk.rule, risk.message) for risk in before}
    spoilt = [main for main, was_good in tested.items() if was_good and is_accepted(host, main) is False]
    if new or spoilt:
        _write(file, old)
        return f"{file}: not repaired: nginx would reject the result"
    return f"{file}: repaired in {len(steps)} place{'s' if len(steps) != 1 else ''}"


def risks(given: LintInput, rules: tuple[Rule, ...]) -> tuple[Risk, ...]:
    """Return the findings for the input, without those suppressed by comments."""
    found: dict[Risk, None] = {}
    for deployment in given.deployments:
        found.update(dict.fromkeys(lint(deployment, rules)[0]))
    shown = (risk for risk in found if given.shown is None or risk.at is None or risk.at.file in given.shown)
    return suppression.split(shown, suppression.read(given.texts))[0]


def _safe(risk: Risk) -> Iterator[Edit]:
    for remedy in risk.remedies:
        if remedy.safe and all(isinstance(step, Edit) for step in remedy.steps):
            yield from (step for step in remedy.steps if isinstance(step, Edit))


def _stranger(file: str) -> str:
    """Return why a file is not changed and nginx not run with it: others could change it (`load_module` runs any code)."""
    try:
        return trust.stranger(file)
    except HostError as error:
        return error.reason


def _write(file: str, content: bytes) -> None:
    """Replace a file's content in one step. Raises OSError."""
    path = Path(file).resolve()
    state = path.stat()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fchmod(out.fileno(), state.st_mode & 0o7777)
            with contextlib.suppress(PermissionError):
                os.fchown(out.fileno(), state.st_uid, state.st_gid)
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
