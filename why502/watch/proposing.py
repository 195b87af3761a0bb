"""The change that would fix a cause, as a diff, and whether the gateway's own test of a copy with it passes.

Nothing on the machine is changed.
"""

from __future__ import annotations

import shlex
from collections import defaultdict

import msgspec

from why502.collectors.config_test import try_change
from why502.config.edit import apply
from why502.fix.plan import Plan, name, plans
from why502.gateways.testing import tester
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.finding import ASSERTED, Diagnosis
from why502.model.remedy import Edit
from why502.model.snapshot import Snapshot
from why502.redaction import redact, redact_lines
from why502.session.fixing import with_diffs
from why502.watch.model import Proposal

MOST = 5  # findings
MOST_DIFF = 8_000  # characters


def proposals(diagnosis: Diagnosis, snapshot: Snapshot, host: Host) -> dict[str, Proposal]:
    """Return the proposals by the name of their finding ("wrong-port@127.0.0.1:3001")."""
    found: dict[str, Proposal] = {}
    for finding in [each for each in diagnosis.findings if each.confidence >= ASSERTED][:MOST]:
        try:
            plan = with_diffs(plans(diagnosis, snapshot, finding.cause, finding.target)[0], host)
        except Why502Error:
            continue  # nothing that could be changed from here
        found.setdefault(name(finding), _proposal(plan, name(finding), host))
    return found


def _proposal(plan: Plan, finding: str, host: Host) -> Proposal:
    is_valid, test = _tested(plan, host)
    diff = redact_lines("\n".join(edit.diff for edit in plan.edits))
    return Proposal(
        summary=redact(plan.remedy),
        diff=diff[:MOST_DIFF],
        command=f"why502 fix {shlex.quote(finding)} --apply",
        is_valid=is_valid,
        test=redact(test),
    )


def _tested(plan: Plan, host: Host) -> tuple[bool | None, str]:
    """Return whether the gateway accepts the changed files, and its words; None if that could not be tested."""
    if not plan.edits:
        return None, "no file is changed"
    if plan.proxy is None or plan.is_apart:
        return None, "the files are not those of a gateway on this machine"
    by_file: dict[str, list[Edit]] = defaultdict(list)
    for edit in plan.edits:
        by_file[edit.file].append(edit)
    own = {file.path for file in plan.proxy.files}
    if not by_file.keys() <= own:
        return None, "the files are not the gateway's configuration"
    try:
        contents = {path: apply(host.read(path), edits) for path, edits in by_file.items()}
        problems = try_change(host, plan.proxy, contents)
    except HostError as error:
        return None, error.reason
    except (Why502Error, msgspec.ValidationError) as error:
        return None, str(error)
    product = tester(plan.proxy.kind)
    command = product.COMMAND.format(plan.proxy.config) if product else "its own test"
    return not problems, problems[0].message if problems else f"`{command}` passes on a copy"
