"""A fix as one transaction: back up, write, test, load, verify; kept if it helps, otherwise everything is rolled back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from why502.config import edit
from why502.config.tree import content as bytes_of
from why502.diagnosis.causes import CAUSES
from why502.fix import commands, disk, drop_ins, error_log, guard, journal, reversal, schedule, signals
from why502.fix.commands import Master
from why502.fix.journal import Change, Entry, Phase
from why502.fix.permissions import exact
from why502.fix.plan import Plan
from why502.fix.reversal import AsBefore, Progress, is_load
from why502.fix.saturation import Pressure
from why502.fix.verify import Asked, Verdict
from why502.model.errors import Why502Error
from why502.model.proxy import ConfigTest
from why502.model.remedy import Edit
from why502.remedies.changes import test_of

Verify = Callable[[Entry], Verdict]


START_S = 20.0  # for a service that was started, or a queue that must drain
_AT_ONCE = (
    "chown",
    "chgrp",
    "chmod",
    "setfacl",
    "setsebool",
    "semanage",
    "restorecon",
)  # their effect is complete when they exit


def patience_s(entry: Entry) -> float:
    """Return how many seconds requests may keep failing before the change counts as not helping."""
    if (cause := CAUSES.get(entry.cause)) is not None and cause.lingers_s:
        return cause.lingers_s
    own = entry.test[:1]
    others = [run for run in entry.runs if run.argv[:1] != own and run.argv[0] not in _AT_ONCE and "-t" not in run.argv]
    is_started = any(run.argv[:1] == own and not {"-t", "-s"} & set(run.argv) for run in entry.runs)
    return START_S if others or is_started else 0.0


def apply(
    plan: Plan,
    where: Path,
    now: datetime,
    before: tuple[Asked, ...],
    verify: Verify,
    progress: Progress,
    *,
    reverts_at: datetime | None = None,
    as_before: AsBefore = lambda _: "",
    withheld: str = "",
    pressure: Pressure | None = None,
) -> Entry:
    """Apply a plan and return its entry, KEPT or REVERTED. Raises Why502Error if nothing was changed.

    `before` holds the results of the requests that `verify` will repeat. `as_before` is called after a complete roll-back.
    `withheld`: a sentence about a failed request that will not be repeated, so that the result is not verified completely.
    `pressure`: the load before, where the change raises a limit that only load reaches.
    """
    settled(where)
    journal.sweep(where)
    changes, contents = _prepare(plan)
    for run in plan.runs:
        commands.may_run(run, plan.runs)
    runs = tuple(exact(run) for run in plan.runs)
    proxy = plan.proxy
    entry = Entry(
        id=journal.new_id(now), began_at=now, cause=plan.cause, mitigation=plan.mitigation, message=plan.remedy,
        phase=Phase.PLANNED, changes=changes, runs=runs, test=test_of(proxy), config=proxy.config if proxy else "",
        unit=proxy.unit if proxy else "", was_refused=proxy is not None and proxy.test is ConfigTest.FAILED,
        master=Master(pid_file=proxy.pid_file, pid=proxy.pid or 0) if proxy else Master(),
        before=before, seen=plan.seen, logs=error_log.marks(proxy), reverts_at=reverts_at, unverified=withheld,
        pressure=pressure,
    )  # fmt: skip
    try:
        _keep(where, entry, contents, progress)
        if changes:
            progress.say(f"saved the old content in {where}")
            if proxy and {change.file for change in changes} & {file.path for file in proxy.files}:
                _try(where, entry, progress)
        progress.at("before journal")
        journal.save(where, entry)
    except BaseException:
        journal.sweep(where)
        raise
    progress.at("planned")
    return _go_on(where, entry, verify, progress, as_before)


def _keep(where: Path, entry: Entry, contents: list[tuple[bytes, bytes]], progress: Progress) -> None:
    for number, (old, new) in enumerate(contents):
        disk.keep(journal.contents_path(where, entry.id, number, is_new=False), old)
        progress.at(f"backup {number}")
        disk.keep(journal.contents_path(where, entry.id, number, is_new=True), new)
        if (names := disk.names_of(entry.changes[number].real)) > 1:
            progress.say(f"{entry.changes[number].file} has {names} names (hard links): its other names keep the old content")


def settled(where: Path) -> None:
    """Raise Why502Error if an earlier change was interrupted: it must be finished or rolled back first."""
    if unfinished := [entry for entry in journal.entries(where) if entry.is_unfinished and not entry.is_stuck]:
        last = unfinished[-1]
        undo = f"why502 mitigate undo {last.id}" if last.mitigation else "why502 fix --undo"
        raise Why502Error(
            f"an earlier {last.kind} ({last.id}) was interrupted",
            f"Finish it with `why502 fix --resume`, or undo it with `{undo}`.",
        )


def resume(where: Path, entry: Entry, verify: Verify, progress: Progress, as_before: AsBefore = lambda _: "") -> Entry:
    """Finish an interrupted fix or roll-back. Raises Why502Error."""
    if entry.phase is Phase.REVERTING:
        return reversal.revert(where, entry, progress, as_before)
    return _go_on(where, entry, verify, progress, as_before)


def _go_on(where: Path, entry: Entry, verify: Verify, progress: Progress, as_before: AsBefore) -> Entry:
    try:
        if entry.reverts_at is not None:  # first of all: otherwise an interruption would leave a mitigation that never ends
            progress.say(f"will be reverted by {schedule.begin(entry, where)}")
            progress.at("end arranged")
        entry = _write(where, entry, progress)
        entry = _run(where, entry, progress)
        drop_ins.check(entry)
        verdict = verify(entry)
    except BaseException as error:  # also Ctrl-C, and our own bugs
        reason = error.message if isinstance(error, Why502Error) else "interrupted"
        progress.say(f"{reason}; rolling everything back")
        reverted = _revert_now(where, entry, progress, as_before)
        if isinstance(error, Why502Error):
            raise Why502Error(f"{error.message}; {_outcome(reverted)}", error.hint) from error
        raise
    progress.say(verdict.message)
    if not verdict.helps:
        progress.say("rolling everything back")
        return _revert_now(where, entry, progress, as_before)
    doubts = "; ".join(filter(None, (verdict.unverified, entry.unverified)))
    entry = msgspec.structs.replace(entry, failing=verdict.failing, unverified=doubts)
    return _save(where, entry, progress, phase=Phase.KEPT)


def _revert_now(where: Path, entry: Entry, progress: Progress, as_before: AsBefore) -> Entry:
    """Roll back what the journal records: it may be ahead of `entry`."""
    with signals.held():
        newest = next((known for known in journal.entries(where) if known.id == entry.id), entry)
        return reversal.revert(where, newest, progress, as_before)


def _outcome(entry: Entry) -> str:
    return f"{'; '.join(entry.left)}" if entry.left else "everything was rolled back"


def _write(where: Path, entry: Entry, progress: Progress) -> Entry:
    for number, change in enumerate(entry.changes):
        now = disk.digest_of(change.real)
        if now == change.after:
            continue
        if now != change.before:
            raise Why502Error(f"{change.file} was changed concurrently", "Run the diagnosis again, then repeat the fix.")
        progress.at(f"before write {number}")
        guard.file(change.real)
        if change.directory:
            Path(change.directory).mkdir(mode=0o755, exist_ok=True)
        disk.replace(change.real, journal.content(where, entry, number, is_new=True), change.before)
        progress.at(f"written {number}")
        progress.say(f"wrote {change.file}")
    return _save(where, entry, progress, phase=Phase.WRITTEN) if entry.phase is Phase.PLANNED else entry


def _run(where: Path, entry: Entry, progress: Progress) -> Entry:
    is_done = entry.phase is Phase.LOADED  # then the files are loaded again: somebody may have loaded something else since
    for number, run in enumerate(entry.runs):
        if is_done and not is_load(run):
            continue
        if number >= entry.ran:
            entry = _save(where, entry, progress, ran=number + 1)
        commands.execute(run.argv, entry.master, entry.began_at)
        progress.at(f"ran {number}")
        progress.say(f"ran {shlex.join(run.argv)}")
    return entry if is_done else _save(where, entry, progress, phase=Phase.LOADED)


def _save(where: Path, entry: Entry, progress: Progress, *, phase: Phase | None = None, ran: int | None = None) -> Entry:
    entry = msgspec.structs.replace(entry, phase=phase or entry.phase, ran=entry.ran if ran is None else ran)
    journal.save(where, entry)
    progress.at(f"journal {entry.phase} {entry.ran}")
    return entry


def _prepare(plan: Plan) -> tuple[tuple[Change, ...], list[tuple[bytes, bytes]]]:
    """Return the old and new content of each file. Raises Why502Error if a file is not the one that the plan was made for."""
    seen = {file.path: bytes_of(file) for file in (plan.proxy.files if plan.proxy else ()) if file.text}
    by_file: dict[str, list[Edit]] = {}
    for item in plan.edits:
        by_file.setdefault(item.file, []).append(item)
    changes, contents = [], []
    for file, own in by_file.items():
        real = os.path.realpath(file)
        is_new = not os.path.exists(real) and file not in seen and not any(item.before for item in own)
        directory = os.path.dirname(real)
        if not is_new:
            disk.may_change(real)
        before = b"" if is_new else disk.read(real)
        if not is_new and before != seen.get(file, before):
            raise Why502Error(f"{file} has changed since it was read", "Nothing was changed. Repeat the fix.")
        after = edit.apply(before, [edit.placed(change, before) for change in own])
        old = disk.ABSENT if is_new else disk.digest(before)
        made = directory if is_new and not os.path.isdir(directory) else ""
        changes.append(Change(file=file, real=real, before=old, after=disk.digest(after), directory=made))
        contents.append((before, after))
    return tuple(changes), contents


def _try(where: Path, entry: Entry, progress: Progress) -> None:
    """Test the new content before it is installed. Raises Why502Error if it fails, and names which content is at fault."""
    pairs = tuple(
        word
        for number, change in enumerate(entry.changes)
        if change.before != disk.ABSENT
        for word in (journal.contents_path(where, entry.id, number, is_new=True), change.real)
    )
    complaint = commands.check(entry.test, pairs)
    if complaint is None:
        progress.say("the new configuration cannot be tested before it is in place: that needs root with CAP_SYS_ADMIN")
        return
    if not complaint:
        progress.say("the new configuration passes the proxy's own test")
        return
    if of_old := commands.check(entry.test, ()):
        raise Why502Error(
            f"the configuration on disk already fails the proxy's own test: {of_old}", "Nothing was changed. Fix that first."
        )
    raise Why502Error(f"the new configuration fails the proxy's own test: {complaint}", "Nothing was changed.")
