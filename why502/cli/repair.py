"""What `fix` and `mitigate` share: showing a plan, carrying it out, taking it back."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.fix.journal import Entry
    from why502.fix.plan import Plan
    from why502.model.snapshot import Snapshot

SCHEMA = "why502.fix/1"


def show(env: Env, plan: Plan, *, is_json: bool) -> int:
    """Write the plan; return 1: there is something to do."""
    env.write(_json(plan, None, "") if is_json else _text(plan) + "Nothing was changed. Do it with: --apply\n")
    return 1


def repair(
    env: Env,
    plan: Plan,
    snapshot: Snapshot,
    state: str | None,
    *,
    is_asked: bool,
    is_json: bool,
    reverts_at: datetime | None = None,
) -> int:
    """Carry the plan out; return 0 where it is kept, 1 where it did not help and everything was put back. Raises Why502Error."""
    from why502.fix import journal, transaction, verify

    if not is_json:
        env.write(_text(plan))
    if is_asked:
        if not env.stdin.isatty():
            raise Why502Error("nobody is there to be asked", "Say --yes to do it without asking.")
        click.confirm("Do it?", abort=True, err=True)
    where = journal.folder(state)
    with journal.lock(where):
        watched = verify.urls(snapshot)
        config = plan.proxy.config if plan.proxy else ""
        check = verify.verifier(env.host(), watched, config, env.now)
        progress = transaction.Progress(say=lambda text: _say(env, text))
        entry = transaction.apply(plan, where, env.now(), check, progress, urls=watched, reverts_at=reverts_at)
    return _ended(env, entry, plan, is_json=is_json)


def take_back(env: Env, state: str | None, *, is_finished: bool, is_json: bool, id_: str | None = None) -> int:
    """Undo the last fix, or finish one that was interrupted. Raises Why502Error where there is none."""
    from why502.fix import journal, transaction, verify

    where = journal.folder(state)
    with journal.lock(where):
        every = [entry for entry in journal.entries(where) if id_ in (None, entry.id)]
        wanted = [e for e in every if (e.is_unfinished if is_finished else e.phase is not journal.Phase.REVERTED)]
        if not wanted:
            raise Why502Error(
                "no fix was interrupted" if is_finished else "there is no fix to take back", f"The journal is in {where}."
            )
        progress = transaction.Progress(say=lambda text: _say(env, text))
        if is_finished:
            config = next(
                (word for before, word in zip(wanted[-1].test, wanted[-1].test[1:], strict=False) if before == "-c"), ""
            )
            check = verify.verifier(env.host(), wanted[-1].urls, config, env.now)
            entry = transaction.resume(where, wanted[-1], check, progress)
        else:
            entry = transaction.revert(where, wanted[-1], progress)
    _ended(env, entry, None, is_json=is_json)
    return 0 if is_finished is (entry.phase is journal.Phase.KEPT) else 1


def _say(env: Env, text: str) -> None:
    from why502.render.words import safe

    env.stderr.write(f"  {safe(text)}\n")


def _ended(env: Env, entry: Entry, plan: Plan | None, *, is_json: bool) -> int:
    is_kept = entry.phase == "kept"
    if is_json:
        env.write(_json(plan, entry, entry.phase))
    elif is_kept:
        env.write(f"Done ({entry.id}). Take it back with: why502 fix --undo\n")
    else:
        env.write(f"Everything is as before ({entry.id}).\n")
    return 0 if is_kept else 1


def _text(plan: Plan) -> str:
    from why502.fix.plan import risk
    from why502.render.words import safe

    lines = [safe(plan.says), "", f"Plan: {safe(plan.remedy)}"]
    for edit in plan.edits:
        lines += ["", *(f"  {safe(line)}" for line in edit.diff.splitlines()), f"  risk: {risk(edit)}"]
    for run in plan.runs:
        lines += ["", f"  $ {safe(shlex.join(run.argv))}", f"  risk: {safe(risk(run))}"]
    lines += ["", *(f"Warning: {safe(warning)}" for warning in plan.warnings)] if plan.warnings else [""]
    return "\n".join(lines) + "\n"


def _json(plan: Plan | None, entry: Entry | None, phase: str) -> str:
    from why502.fix.plan import risk
    from why502.logs.redact import redact

    edits, runs = (plan.edits, plan.runs) if plan else ((), ())
    steps: list[dict[str, Any]] = [
        *({"edit": {"file": x.file, "line": x.line, "diff": redact(x.diff)}, "risk": risk(x)} for x in edits),
        *({"run": list(x.argv), "risk": risk(x)} for x in runs),
    ]
    fields = {
        "schema": SCHEMA,
        "cause": plan.cause if plan else entry.cause if entry else None,
        "says": plan.remedy if plan else entry.says if entry else "",
        "steps": steps,
        "warnings": list(plan.warnings) if plan else [],
        "id": entry.id if entry else None,
        "outcome": phase or "planned",
    }
    return msgspec.json.format(msgspec.json.encode(fields), indent=2).decode() + "\n"
