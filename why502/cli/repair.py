"""Code shared by `fix` and `mitigate`: show a plan, apply it, revert it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from why502.model.errors import HostError, Missing, Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.fix.journal import Entry
    from why502.fix.plan import Plan
    from why502.fix.transaction import Progress
    from why502.host.base import Host
    from why502.model.remedy import Edit
    from why502.model.snapshot import Snapshot

SCHEMA = "why502.fix/1"


def with_diffs(plan: Plan, host: Host) -> Plan:
    """Return the plan with a diff of each change, also of files that the snapshot does not hold and its machine does.

    Of another machine these have none. Raises NotApplied where a file of this machine cannot be read.
    """
    from why502.config.edit import with_diff
    from why502.fix.repair import NotApplied
    from why502.host.nowhere import NowhereHost

    def full(change: Edit) -> Edit:
        if change.diff or isinstance(host, NowhereHost):
            return change
        try:
            return with_diff(change, host.read(change.file))
        except Missing:
            return with_diff(change, b"")
        except HostError as error:
            raise NotApplied(error.reason, error.hint or "Run it as root.") from error

    return msgspec.structs.replace(plan, edits=tuple(full(change) for change in plan.edits))


def lacking(plan: Plan) -> str:
    """Return what of a plan the user of this process may not do; "" where nothing is known to be in the way."""
    if os.geteuid() == 0 or plan.is_apart:
        return ""
    for edit in plan.edits:
        path = Path(edit.file)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            return f"no permission to write {edit.file}"
    ordered = next((run.argv for run in plan.runs if run.argv[:1] == ("systemctl",) and "--user" not in run.argv), None)
    return f"`{shlex.join(ordered)}` needs root" if ordered else ""


def show(env: Env, plan: Plan, host: Host, *, is_json: bool, how: str = "--apply", others: tuple[Plan, ...] = ()) -> int:
    """Write the plan and its alternatives; return 1: there is something to do."""
    if is_json:
        env.write(_json(plan, None, "planned", others, host=host))
    else:
        reason = lacking(plan)
        do = f"Apply it as root ({reason}): sudo {how}" if reason else f"Apply it with: {how}"
        end = f"{_others(others)}Nothing was changed. {do}\n"
        env.write(_text(plan) + _apart(plan, host, end))
    return 1


def _apart(plan: Plan, host: Host, otherwise: str) -> str:
    """Return what to do in a container, or as another user, where the plan is not carried out from here."""
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


def repair(
    env: Env,
    plan: Plan,
    snapshot: Snapshot,
    state: str | None,
    *,
    is_asked: bool,
    is_json: bool,
    urls: tuple[str, ...] = (),
    reverts_at: datetime | None = None,
) -> Entry:
    """Apply the plan; return its entry, kept, or reverted if it did not help. Raises Why502Error, NotApplied."""
    from why502.fix import journal
    from why502.fix.repair import allowed
    from why502.fix.repair import repair as carry_out

    host = env.host_of(snapshot)
    allowed(plan, host)
    if not is_json:
        env.write(_text(plan))
    if is_asked:
        if not env.stdin.isatty():
            raise Why502Error("no terminal to ask for confirmation", "Use --yes to skip the confirmation.")
        click.confirm("Apply it?", abort=True, err=True)
    where = journal.directory(state)
    with journal.lock(where), _interruptible():
        return carry_out(plan, snapshot, host, where, env.now(), watched(env), urls=urls, reverts_at=reverts_at)


def repair_with_first(
    env: Env,
    plans: tuple[Plan, ...],
    snapshot: Snapshot,
    state: str | None,
    *,
    is_asked: bool,
    is_json: bool,
    urls: tuple[str, ...] = (),
) -> int:
    """Apply one plan after the other until one helps; return 0 if one did, else 1. Raises Why502Error."""
    from why502.fix import journal, transaction
    from why502.fix.guard import refusal
    from why502.fix.repair import NotApplied

    tried: list[tuple[Plan, str]] = []
    host = env.host_of(snapshot)
    refused = {number: reason for number, plan in enumerate(plans) if (reason := refusal(plan, host))}
    if len(refused) == len(plans):
        raise NotApplied(*refused[0])
    for message, _ in refused.values():
        watched(env).say(f"cannot be applied from here: {message}")
    plans = tuple(plan for number, plan in enumerate(plans) if number not in refused)
    if plans and (lack := lacking(plans[0])):
        raise Why502Error(f"permission denied: {lack}", "Run it as root: sudo why502 fix --apply.")
    for place, planned in enumerate(plans):
        plan, rest = planned, plans[place + 1 :]
        try:
            plan = with_diffs(planned, host)
            entry = repair(env, plan, snapshot, state, is_asked=is_asked, is_json=is_json, urls=urls)
        except NotApplied as error:
            transaction.settled(journal.directory(state))
            if not rest:
                raise
            watched(env).say(error.message)
            tried.append((plan, "failed"))
        else:
            if entry.phase == "kept" or not rest:
                ended(env, entry, plan, is_json=is_json, tried=tried)
                return 0 if entry.phase == "kept" else 1
            if not is_json:
                ended(env, entry, plan, is_json=False)
            tried.append((plan, entry.phase))
        watched(env).say(f"that did not help; next: {rest[0].remedy}")
    raise AssertionError("no plan")


def take_back(env: Env, state: str | None, *, is_finished: bool, is_json: bool) -> int:
    """Undo the last fix, or finish an interrupted one; return the exit status. Raises Why502Error if there is none."""
    from why502.fix import journal, transaction
    from why502.fix.repair import verifier

    where = journal.directory(state)
    with journal.lock(where), _interruptible():
        every = journal.entries(where)
        wanted = [e for e in every if e.is_unfinished] or [
            e for e in every if e.phase is journal.Phase.KEPT and not e.lever and not is_finished
        ]
        if not wanted:
            raise Why502Error("no fix was interrupted" if is_finished else "no fix to undo", f"The journal is in {where}.")
        if is_finished:
            entry = transaction.resume(where, wanted[-1], verifier(env.host()), watched(env))
        else:
            entry = transaction.revert(where, wanted[-1], watched(env))
    ended(env, entry, None, is_json=is_json)
    return 0 if is_finished is (entry.phase is journal.Phase.KEPT) and not entry.left else 1


def watched(env: Env) -> Progress:
    """Return a progress function that writes to stderr and ignores a closed stderr."""
    from why502.fix.transaction import Progress
    from why502.render.words import safe

    def say(text: str) -> None:
        if env.is_quiet:
            return
        with contextlib.suppress(OSError, ValueError):
            env.stderr.write(f"  {safe(text)}\n")
            env.stderr.flush()

    return Progress(say=say)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGHUP and SIGTERM roll everything back, as Ctrl-C does."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        old = {number: signal.signal(number, stop) for number in (signal.SIGHUP, signal.SIGTERM)}
    except ValueError:  # not the main thread
        old = {}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def ended(env: Env, entry: Entry, plan: Plan | None, *, is_json: bool, tried: Sequence[tuple[Plan, str]] = ()) -> None:
    """Write the result; `tried`: the plans before this one that did not help, and how each ended."""
    from why502.render.words import safe

    if is_json:
        env.write(_json(plan, entry, entry.phase, tried=tried))
    elif entry.phase == "kept":
        until = f" It will be reverted automatically at {entry.reverts_at:%Y-%m-%d %H:%M:%S}Z." if entry.reverts_at else ""
        command = f"why502 mitigate undo {entry.id}" if entry.lever else "why502 fix --undo"
        is_proved = bool(entry.lever) or any(asked.is_failed for asked in entry.before)
        done = "Done" if is_proved else "Applied, but no request failed before, so only live traffic will show whether it helps"
        env.write(f"{done} ({entry.id}).{until} Undo it with: {command}\n")
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

    lines = [safe(plan.message)] if plan.lever else [safe(plan.message), "", f"Plan: {safe(plan.remedy)}"]
    for edit in plan.edits:
        shown = diff_lines(edit) or [f"{safe(edit.file)}:{edit.line} (not in the bundle): {safe(in_place(edit.after))}"]
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
        "lever": (about.lever or None) if about else None,
        "message": plan.remedy if plan else entry.message if entry else "nothing to fix",
        "steps": steps,
        "files": [change.file for change in entry.changes] if entry else [edit.file for edit in edits],
        "warnings": list(plan.warnings) if plan else [],
        "not_from_here": _not_from_here(plan, host) if plan and host else None,
        "id": entry.id if entry else None,
        "outcome": outcome,
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
