"""The output of `fix` and `mitigate`: the plan, the confirmation, and the result."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.fix.journal import Entry
    from why502.fix.plan import Plan
    from why502.fix.reversal import Progress
    from why502.host.base import Host
    from why502.model.snapshot import Snapshot
    from why502.session.fixing import Work

SCHEMA = "why502.fix/1"
SHOWN = 4


def show(env: Env, plan: Plan, host: Host, *, is_json: bool, how: str = "--apply", others: tuple[Plan, ...] = ()) -> int:
    """Write the plan and its alternatives; return 1: there is something to do."""
    from why502.session.fixing import lacking

    if is_json:
        env.write(_json(plan, None, "planned", others, host=host))
    else:
        reason = lacking(plan)
        do = f"Apply it as root ({reason}): sudo {how}" if reason else f"Apply it with: {how}"
        end = f"{_others(others)}Nothing was changed. {do}\n"
        env.write(_text(plan) + _apart(plan, host, end))
    return 1


def _apart(plan: Plan, host: Host, otherwise: str) -> str:
    """Return the steps to take in a container, or as another user, if the plan cannot be applied from here."""
    from why502.fix.containers import instead
    from why502.fix.guard import refusal
    from why502.render.words import safe

    if not plan.is_apart:
        if why_not := refusal(plan, host):
            return f"This cannot be applied from here: {safe(why_not[0])}.\n{safe(why_not[1])}\n"
        return otherwise
    reason, todo = instead(plan, host)
    return "\n".join((f"This cannot be applied from here: {safe(reason)}.", *(safe(line) for line in todo), ""))


def _others(plans: tuple[Plan, ...]) -> str:
    from why502.render.words import safe

    if not plans:
        return ""
    lines = (f"  {number}. {safe(plan.remedy)} [{plan.cause}]" for number, plan in enumerate(plans, 2))
    return "\n".join(
        ("If that does not help, it is rolled back and the next remedy is tried (--remedy NUMBER selects one):", *lines, "", "")
    )


def tell_interrupted(env: Env, state: str | None = None) -> None:
    """Write to stderr which changes on this machine were interrupted."""
    from why502.fix import places

    if not places.may_hold_changes(state):
        return
    from why502.render.words import safe
    from why502.session.fixing import interrupted

    for sentence in interrupted(state):
        env.stderr.write(f"why502: {safe(sentence)}\n")


def work(
    env: Env,
    state: str | None,
    *,
    is_asked: bool = False,
    is_json: bool = False,
    look_again: Callable[[], Snapshot] | None = None,
) -> Work:
    """Return the environment of a repair: progress on stderr; each plan is shown before it is applied, and confirmed if
    `is_asked`.
    """
    from why502.session.fixing import Work

    def confirm(plan: Plan) -> None:
        if not is_json:
            env.write(_text(plan))
        if is_asked:
            if not env.stdin.isatty():
                raise Why502Error("no terminal to ask for confirmation", "Use --yes to skip the confirmation.")
            click.confirm("Apply it?", abort=True, err=True)

    def unhelpful(entry: Entry, plan: Plan) -> None:
        if not is_json:
            ended(env, entry, plan, is_json=False)

    return Work(state=state, now=env.now, progress=watched(env), confirm=confirm, unhelpful=unhelpful, look_again=look_again)


def apply(env: Env, plans: tuple[Plan, ...], snapshot: Snapshot, by: Work, *, is_json: bool, urls: tuple[str, ...] = ()) -> int:
    """Apply one plan after the other until one helps, and write the result; return 0 if one did, else 1. Raises Why502Error."""
    from why502.session import fixing

    done = fixing.repair_with_first(plans, snapshot, env.machine().of(snapshot), by, urls=urls)
    ended(env, done.entry, done.plan, is_json=is_json, tried=done.tried)
    return 0 if done.entry.is_proved else 1


def watched(env: Env) -> Progress:
    """Return a progress function that writes to stderr and ignores a closed stderr."""
    from why502.fix.reversal import Progress
    from why502.render.words import safe

    def say(text: str) -> None:
        if env.is_quiet:
            return
        with contextlib.suppress(OSError, ValueError):
            env.stderr.write(f"  {safe(text)}\n")
            env.stderr.flush()

    return Progress(say=say)


def ended(env: Env, entry: Entry, plan: Plan | None, *, is_json: bool, tried: Sequence[tuple[Plan, str]] = ()) -> None:
    """Write the result. `tried`: the earlier plans that did not help, and the result of each."""
    from why502.render.words import safe

    if is_json:
        env.write(_json(plan, entry, entry.phase, tried=tried))
    elif entry.phase == "kept":
        until = f" It will be reverted automatically at {entry.reverts_at:%Y-%m-%d %H:%M:%S}Z." if entry.reverts_at else ""
        command = f"why502 mitigate undo {entry.id}" if entry.mitigation else "why502 fix --undo"
        if entry.failing:
            rest = safe("; ".join(entry.failing[:SHOWN]))
            more = f" (and {len(entry.failing) - SHOWN} more)" if len(entry.failing) > SHOWN else ""
            env.write(
                f"Partly repaired ({entry.id}). Still failing: {rest}{more}. See why502 fix for the rest. "
                f"Undo it with: {command}\n"
            )
            return
        done = f"Applied, but not verified ({entry.id}): {safe(entry.unverified)}. Only live traffic will show whether it helps."
        env.write(f"{done if entry.unverified else f'Done ({entry.id}).'}{until} Undo it with: {command}\n")
    elif entry.left:
        env.write(f"The files are restored ({entry.id}), but: {safe('; '.join(entry.left))}\n")
    elif final := [run for run in entry.runs[: entry.ran] if not run.undo and not _only_tests(run.argv)]:
        env.write(f"The files are restored ({entry.id}); this command cannot be undone: {safe(shlex.join(final[0].argv))}\n")
    else:
        env.write(f"Everything is restored ({entry.id}).\n")


def _only_tests(argv: tuple[str, ...]) -> bool:
    return "-t" in argv or argv[:2] == ("systemd-analyze", "verify")


def _text(plan: Plan) -> str:
    from why502.fix.plan import risk
    from why502.redaction import in_place
    from why502.render.words import diff_lines, safe

    lines = [safe(plan.message)] if plan.mitigation else [safe(plan.message), "", f"Plan: {safe(plan.remedy)}"]
    for edit in plan.edits:
        shown = diff_lines(edit.diff) or [f"{safe(edit.file)}:{edit.line} (not in the bundle): {safe(in_place(edit.after))}"]
        lines += ["", *(f"  {line}" for line in shown), f"  risk: {risk(edit)}"]
    for run in plan.runs:
        lines += ["", f"  $ {safe(shlex.join(run.argv))}", f"  risk: {safe(risk(run))}"]
    lines += ["", *(f"Warning: {safe(warning)}" for warning in plan.warnings), ""] if plan.warnings else [""]
    return "\n".join(lines) + "\n"


def _json(
    plan: Plan | None,
    entry: Entry | None,
    outcome: str,
    others: Sequence[Plan] = (),
    tried: Sequence[tuple[Plan, str]] = (),
    host: Host | None = None,
) -> str:
    from why502.fix.plan import risk
    from why502.redaction import in_place
    from why502.redaction.snapshots import without_secrets

    edits, runs = (plan.edits, plan.runs) if plan else ((), entry.runs if entry else ())
    steps: list[dict[str, Any]] = [
        *({"edit": {"file": x.file, "line": x.line, "diff": in_place(x.diff)}, "risk": risk(x)} for x in edits),
        *({"run": list(x.argv), "undo": list(x.undo) or None, "risk": risk(x)} for x in runs),
    ]
    about = plan or entry
    fields = {
        "schema": SCHEMA,
        "cause": (about.cause or None) if about else None,
        "mitigation": (about.mitigation or None) if about else None,
        "message": plan.remedy if plan else entry.message if entry else "nothing to fix",
        "steps": steps,
        "files": [change.file for change in entry.changes] if entry else [edit.file for edit in edits],
        "warnings": list(plan.warnings) if plan else [],
        "not_from_here": _not_from_here(plan, host) if plan and host else None,
        "id": entry.id if entry else None,
        "outcome": outcome,
        "still_failing": list(entry.failing) if entry else [],
        "unverified": (entry.unverified or None) if entry else None,
        "left": list(entry.left) if entry else [],
        "others": [{"remedy": number, "cause": x.cause, "message": x.remedy} for number, x in enumerate(others, 2)],
        "tried": [{"cause": x.cause, "message": x.remedy, "outcome": how} for x, how in tried],
        "reverts_at": entry.reverts_at.isoformat().replace("+00:00", "Z") if entry and entry.reverts_at else None,
    }
    return msgspec.json.format(msgspec.json.encode(without_secrets(fields)), indent=2).decode() + "\n"


def _not_from_here(plan: Plan, host: Host) -> str | None:
    from why502.fix.containers import instead
    from why502.fix.guard import refusal

    if plan.is_apart:
        reason, todo = instead(plan, host)
        return ". ".join((reason, *todo))
    why_not = refusal(plan, host)
    return ". ".join(why_not) if why_not else None


def nothing(env: Env, message: str, *, is_json: bool) -> int:
    """Write that there is nothing to do; return 0."""
    env.write(_json(None, None, "nothing") if is_json else f"{message}\n")
    return 0
