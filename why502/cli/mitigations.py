"""The options of `mitigate` turned into a plan that is shown or applied, and the list of active mitigations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.fix.plan import Plan
    from why502.model.snapshot import Snapshot
    from why502.session.fixing import Work

SCHEMA = "why502.mitigations/1"
LONGEST_S = 7 * 86400.0


def pull(
    env: Env,
    plan: Callable[[Snapshot], Plan],
    *,
    configs: tuple[str, ...],
    bundle: str | None,
    yes: bool,
    dry_run: bool,
    for_: str | None,
    state: str | None,
    format_: str,
    reaches: str = "",
) -> int:
    """Apply a mitigation; return 0 if it is active, 1 if it was rolled back or only shown.

    `reaches` is a server that must be reachable for this mitigation. Raises Why502Error.
    """
    from why502.cli.look import look
    from why502.cli.plan_output import show, work
    from why502.session import fixing, mitigating

    reverts_at = _end(for_, env.now()) if for_ is not None else None
    is_shown = dry_run or bundle is not None
    is_json = format_ == "json"
    by = work(env, state, is_asked=not yes, is_json=is_json)
    if not is_shown:
        mitigating.expire(env.host(), by)
    (snapshot,) = look(env, configs=configs, probes=False, bundles=(bundle,) if bundle else ())
    host = env.machine().of(snapshot)
    wanted = fixing.with_diffs(plan(snapshot), host)
    if reaches and not bundle:
        mitigating.reach(host, reaches)
    how = "the same command on that machine" if bundle else "the same command without --dry-run"
    if is_shown:
        return show(env, wanted, host, is_json=is_json, how=how)
    return start(env, wanted, snapshot, by, reverts_at, is_json=is_json)


def start(env: Env, plan: Plan, snapshot: Snapshot, by: Work, reverts_at: datetime | None, *, is_json: bool = False) -> int:
    """Apply the plan of a mitigation; return 0 if it is active, 1 if it was rolled back. Raises Why502Error."""
    from why502.cli.plan_output import ended
    from why502.session import fixing

    entry = fixing.repair(plan, snapshot, env.machine().of(snapshot), by, reverts_at=reverts_at)
    ended(env, entry, plan, is_json=is_json)
    return 0 if entry.phase == "kept" else 1


def _end(text: str, now: datetime) -> datetime:
    from why502.session.window import span

    length = span(text)
    if length is None or not 1 <= length.total_seconds() <= LONGEST_S:
        raise Why502Error(
            f"--for {text!r} is not a duration from one second to seven days", "Write it like 90s, 30m, 1h30m or 20 minutes."
        )
    return now + length


def listed(env: Env, state: str | None, *, is_json: bool) -> int:
    """Write the active mitigations; return 1 if there are any."""
    from why502.cli.plan_output import tell_interrupted, work
    from why502.render.words import clock, safe
    from why502.session import mitigating

    tell_interrupted(env, state)
    mitigating.expire(env.host(), work(env, state))
    found = mitigating.active(state)
    if is_json:
        rows = [
            {
                "id": entry.id,
                "mitigation": entry.mitigation,
                "message": entry.message,
                "files": [change.file for change in entry.changes],
                "since": entry.began_at,
                "reverts_at": entry.reverts_at,
                "interrupted": entry.is_unfinished,
            }
            for entry in found
        ]
        env.write(msgspec.json.format(msgspec.json.encode({"schema": SCHEMA, "mitigations": rows}), indent=2).decode() + "\n")
    elif not found:
        env.write("No mitigation is active.\n")
    for entry in () if is_json else found:
        until = f"until {clock(entry.reverts_at)}" if entry.reverts_at else "until reverted"
        how = "; interrupted: finish it with `why502 fix --resume`, or undo it" if entry.is_unfinished else ""
        env.write(f"{entry.id}  {safe(entry.message)}\n  since {clock(entry.began_at)}, {until}{how}\n")
    return 1 if found else 0
