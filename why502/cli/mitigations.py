"""Applies, lists and reverts mitigations, on command or when their time is up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from pathlib import Path

    from why502.cli.env import Env
    from why502.fix.journal import Entry
    from why502.fix.plan import Plan
    from why502.host.base import Host
    from why502.model.snapshot import Snapshot

SCHEMA = "why502.mitigations/1"
LONGEST_S = 7 * 86400.0
LOCK_S = 120.0  # how long the expiry of a mitigation waits for another run


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

    `reaches` is a server that must be reachable for it. Raises Why502Error.
    """
    from why502.cli.look import look
    from why502.cli.repair import ended, repair, show, with_diffs
    from why502.fix import journal, schedule

    reverts_at = _end(for_, env.now()) if for_ is not None else None
    is_shown = dry_run or bundle is not None
    if not is_shown:
        expired(env, state)
    (snapshot,) = look(env, configs=configs, probes=False, bundles=(bundle,) if bundle else ())
    host = env.host_of(snapshot)
    wanted = with_diffs(plan(snapshot), host)
    if reaches and not bundle:
        _reach(host, reaches)
    is_json = format_ == "json"
    how = "the same command on that machine" if bundle else "the same command without --dry-run"
    if is_shown:
        return show(env, wanted, host, is_json=is_json, how=how)
    entry = repair(env, wanted, snapshot, state, is_asked=not yes, is_json=is_json, reverts_at=reverts_at)
    ended(env, entry, wanted, is_json=is_json)
    if entry.phase == "kept" and entry.reverts_at is not None:
        by = schedule.begin(entry, journal.directory(state), env.now())
        env.stderr.write(f"  will be reverted by {by}\n")
    return 0 if entry.phase == "kept" else 1


def _reach(host: Host, text: str) -> None:
    """Raise Why502Error where nothing takes a connection on a server that is to be brought in."""
    from why502.model.errors import HostError
    from why502.model.target import Target

    target = Target.parse(text)
    if target is None:
        return
    try:
        host.connect(target, timeout_s=3.0).close()
    except HostError as error:
        raise Why502Error(
            f"{text} does not accept connections: {error.reason}", "Start it first. Nothing was changed."
        ) from error


def _end(text: str, now: datetime) -> datetime:
    from why502.cli.window import moment

    span = (now - moment(text, now, "--for")).total_seconds() if not text.strip().startswith("20") or len(text) < 8 else 0
    if not 1 <= span <= LONGEST_S:
        raise Why502Error(f"--for {text!r} is not a duration from one second to seven days", "Write it like 90s, 30m or 2h.")
    return now + (now - moment(text, now, "--for"))


def active(where: Path) -> list[Entry]:
    """Return the active mitigations, the oldest first. Raises Why502Error."""
    from why502.fix import journal

    return [entry for entry in journal.entries(where) if entry.lever and entry.phase is journal.Phase.KEPT]


def listed(env: Env, state: str | None, *, is_json: bool) -> int:
    """Write the active mitigations; return 1 if there are any."""
    from why502.fix import journal
    from why502.render.words import clock, safe

    expired(env, state)
    found = active(journal.directory(state))
    if is_json:
        rows = [
            {
                "id": entry.id,
                "lever": entry.lever,
                "message": entry.message,
                "files": [change.file for change in entry.changes],
                "since": entry.began_at,
                "reverts_at": entry.reverts_at,
            }
            for entry in found
        ]
        env.write(msgspec.json.format(msgspec.json.encode({"schema": SCHEMA, "mitigations": rows}), indent=2).decode() + "\n")
    elif not found:
        env.write("No mitigation is active.\n")
    for entry in () if is_json else found:
        until = f"until {clock(entry.reverts_at)}" if entry.reverts_at else "until reverted"
        env.write(f"{entry.id}  {safe(entry.message)}\n  since {clock(entry.began_at)}, {until}\n")
    return 1 if found else 0


def undone(env: Env, state: str | None, id_: str | None, *, is_json: bool) -> int:
    """Revert one mitigation; return 0 if everything is as before. Raises Why502Error."""
    from why502.cli.repair import ended, watched
    from why502.fix import journal, schedule, transaction

    where = journal.directory(state)
    with journal.lock(where):
        found = [entry for entry in active(where) if id_ in (None, entry.id)]
        if not found:
            raise Why502Error(
                f"no active mitigation {id_}" if id_ else "no mitigation is active",
                "`why502 mitigate list` shows the active ones.",
            )
        entry = transaction.revert(where, found[-1], watched(env))
        schedule.cancel(entry)
    ended(env, entry, None, is_json=is_json)
    return 1 if entry.left else 0


def expired(env: Env, state: str | None) -> int:
    """Revert every mitigation whose time is up; return 1 if one could not be reverted."""
    from why502.cli.repair import watched
    from why502.fix import journal, schedule, transaction

    where = journal.directory(state)
    if not _due(where, env.now()):
        return 0
    status = 0
    with _locked(where):
        for entry in reversed(_due(where, env.now())):
            try:
                watched(env).say(f"{entry.id} has expired: {entry.message}")
                status |= bool(transaction.revert(where, entry, watched(env)).left)
                schedule.cancel(entry)
            except Why502Error as error:
                watched(env).say(f"{error.message}. {error.hint}")
                status = 1
    return status


def waited(env: Env, state: str | None) -> int:
    """Wait until each mitigation, including later ones, expires, and revert it."""
    from why502.fix import journal

    where, failed = journal.directory(state), set[str]()
    while True:
        ends = [entry for entry in active(where) if entry.reverts_at and entry.id not in failed]
        if not ends:
            return 1 if failed else 0
        if due := [entry for entry in ends if entry.reverts_at and entry.reverts_at <= env.now()]:
            expired(env, state)
            failed |= {entry.id for entry in active(where)} & {entry.id for entry in due}
            continue
        first = min(entry.reverts_at for entry in ends if entry.reverts_at)
        time.sleep(max(0.05, min(5.0, (first - env.now()).total_seconds())))  # the clock may be set, the mitigation reverted


def _due(where: Path, now: datetime) -> list[Entry]:
    return [entry for entry in active(where) if entry.reverts_at and entry.reverts_at <= now]


@contextlib.contextmanager
def _locked(where: Path) -> Iterator[None]:
    """Hold the lock; wait for it up to a limit."""
    from why502.fix import journal

    end = time.monotonic() + LOCK_S
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(journal.lock(where))
                break
            except Why502Error:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield
