"""A fix as one transaction: back up, write, test, load, verify; kept if it helps, otherwise everything is rolled back."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from why502.config import edit
from why502.config.tree import content as bytes_of
from why502.diagnosis.causes import CAUSES
from why502.fix import commands, disk, error_log, guard, journal, merge
from why502.fix.commands import Master
from why502.fix.journal import Change, Entry, Phase
from why502.fix.permissions import exact
from why502.fix.plan import Plan
from why502.fix.verify import Asked, Verdict
from why502.model.errors import Why502Error
from why502.model.remedy import Edit
from why502.model.snapshot import Proxy

Verify = Callable[[Entry], Verdict]


START_S = 20.0  # for a service that was started, or a queue that must drain
# Where an undo must not stand in the reverse order: systemd reads the old files before anything is restarted with them,
# and labels are given anew when their rule is gone.
_FIRST = {("systemctl", "daemon-reload"): -1, ("restorecon",): 1}
_AT_ONCE = ("chown", "chgrp", "chmod", "setfacl", "setsebool", "semanage", "restorecon")  # their effect is there when they end


def patience_s(entry: Entry) -> float:
    """Return how long the requests may go on failing before the change counts as no help."""
    if (cause := CAUSES.get(entry.cause)) is not None and cause.lingers_s:
        return cause.lingers_s
    own = entry.test[:1]
    others = [run for run in entry.runs if run.argv[:1] != own and run.argv[0] not in _AT_ONCE and "-t" not in run.argv]
    is_started = any(run.argv[:1] == own and not {"-t", "-s"} & set(run.argv) for run in entry.runs)
    return START_S if others or is_started else 0.0


@dataclass(slots=True)
class Progress:
    """Hooks of a run: `say` reports progress; `at` is called before and after each lasting change."""

    say: Callable[[str], None] = lambda _: None
    at: Callable[[str], None] = lambda _: None


def apply(
    plan: Plan,
    where: Path,
    now: datetime,
    before: tuple[Asked, ...],
    verify: Verify,
    progress: Progress,
    *,
    reverts_at: datetime | None = None,
) -> Entry:
    """Carry out a plan and return its entry, KEPT or REVERTED. Raises Why502Error where nothing was changed.

    `before` is how the requests went that `verify` will ask again.
    """
    settled(where)
    journal.sweep(where)
    changes, contents = _prepare(plan)
    for run in plan.runs:
        commands.may_run(run, plan.runs)
    runs = tuple(exact(run) for run in plan.runs)
    proxy = plan.proxy
    entry = Entry(
        id=journal.new_id(now), began_at=now, cause=plan.cause, lever=plan.lever, message=plan.remedy, phase=Phase.PLANNED,
        changes=changes, runs=runs, test=test_of(proxy), config=proxy.config if proxy else "",
        master=Master(pid_file=proxy.pid_file, pid=proxy.pid or 0) if proxy else Master(),
        before=before, seen=plan.seen, logs=error_log.marks(proxy), reverts_at=reverts_at,
    )  # fmt: skip
    for number, (old, new) in enumerate(contents):
        disk.keep(journal.contents_path(where, entry.id, number, is_new=False), old)
        progress.at(f"backup {number}")
        disk.keep(journal.contents_path(where, entry.id, number, is_new=True), new)
    if changes:
        progress.say(f"saved the old content in {where}")
        if proxy and {change.file for change in changes} & {file.path for file in proxy.files}:
            _try(where, entry, progress)
    progress.at("before journal")
    journal.save(where, entry)
    progress.at("planned")
    return _go_on(where, entry, verify, progress)


def settled(where: Path) -> None:
    """Raise Why502Error where an earlier fix was interrupted: it must be finished or taken back first."""
    if unfinished := [entry for entry in journal.entries(where) if entry.is_unfinished]:
        raise Why502Error(
            f"an earlier fix ({unfinished[-1].id}) was interrupted",
            "Finish it with `why502 fix --resume`, or undo it with `why502 fix --undo`.",
        )


def resume(where: Path, entry: Entry, verify: Verify, progress: Progress) -> Entry:
    """Finish an interrupted fix. Raises Why502Error."""
    return _go_on(where, entry, verify, progress)


def _go_on(where: Path, entry: Entry, verify: Verify, progress: Progress) -> Entry:
    try:
        entry = _write(where, entry, progress)
        entry = _run(where, entry, progress)
        verdict = verify(entry)
    except BaseException as error:  # also Ctrl-C, and a bug of ours
        reason = error.message if isinstance(error, Why502Error) else "interrupted"
        progress.say(f"{reason}; rolling everything back")
        reverted = _revert_now(where, entry, progress)
        if isinstance(error, Why502Error):
            raise Why502Error(f"{error.message}; {_outcome(reverted)}", error.hint) from error
        raise
    progress.say(verdict.message)
    if not verdict.helps:
        progress.say("rolling everything back")
        return _revert_now(where, entry, progress)
    return _save(where, entry, progress, phase=Phase.KEPT)


def _revert_now(where: Path, entry: Entry, progress: Progress) -> Entry:
    """Roll back what the journal records: it may be ahead of `entry`."""
    newest = next((known for known in journal.entries(where) if known.id == entry.id), entry)
    return revert(where, newest, progress)


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
    if entry.phase is Phase.LOADED:
        return entry
    for number, run in enumerate(entry.runs):
        if number >= entry.ran:
            entry = _save(where, entry, progress, ran=number + 1)
        commands.execute(run.argv, entry.master, entry.began_at)
        progress.at(f"ran {number}")
        progress.say(f"ran {shlex.join(run.argv)}")
    return _save(where, entry, progress, phase=Phase.LOADED)


def revert(where: Path, entry: Entry, progress: Progress) -> Entry:
    """Put every file back to the byte, take the commands back, the last one first; return the entry, REVERTED.

    Where somebody changed other lines of a file since, only our change is taken out of it. Raises Why502Error where files
    cannot be put back; `left` of the entry says what else could not be.
    """
    for number, change in reversed(list(enumerate(entry.changes))):
        _restore(where, entry, number, change, progress)
    left = []
    ran = [run for run in reversed(entry.runs[: entry.ran]) if run.undo]
    for run in sorted(ran, key=lambda run: _FIRST.get(run.undo[0:2], _FIRST.get(run.undo[0:1], 0))):
        try:
            commands.execute(run.undo, entry.master, entry.began_at)
            progress.say(f"ran {shlex.join(run.undo)}")
        except Why502Error as error:
            left.append(error.message)
            progress.say(error.message)
    return _save(where, msgspec.structs.replace(entry, left=tuple(left)), progress, phase=Phase.REVERTED)


def _restore(where: Path, entry: Entry, number: int, change: Change, progress: Progress) -> None:
    with contextlib.suppress(OSError, Why502Error):
        guard.file(change.real)
        os.unlink(disk.temporary(change.real))
    now = disk.digest_of(change.real)
    if now == change.before:
        return
    guard.file(change.real)
    progress.at(f"before restore {number}")
    if change.before == disk.ABSENT:
        if now != change.after:
            raise Why502Error(f"{change.file} has since been changed", "It was not touched. Remove it manually.")
        disk.remove(change.real)
        if change.directory:
            with contextlib.suppress(OSError):  # somebody else has put something into it
                os.rmdir(change.directory)
    else:
        old = journal.content(where, entry, number, is_new=False)
        if now != change.after:
            old = _without(where, entry, number, change)
        disk.replace(change.real, old, now)
    progress.at(f"restored {number}")
    progress.say(f"restored {change.file}")


def _without(where: Path, entry: Entry, number: int, change: Change) -> bytes:
    """Return a file that was changed since, without our change.

    Raises Why502Error where that cannot be told apart, or is invalid.
    """
    old, new = (journal.content(where, entry, number, is_new=is_new) for is_new in (False, True))
    merged = merge.without(old, new, disk.read(change.real))
    kept = journal.contents_path(where, entry.id, number, is_new=False)
    hint = f"It was not touched; its old content is {kept}."
    if merged is None:
        raise Why502Error(f"{change.file} has since been changed in the same lines", hint)
    trial = f"{kept}.trial"
    disk.keep(trial, merged)
    complaint = commands.check(entry.test, (trial, change.real))
    os.unlink(trial)
    if complaint:
        raise Why502Error(f"{change.file} has since been changed; without this fix it fails its test: {complaint}", hint)
    return merged


def _save(where: Path, entry: Entry, progress: Progress, *, phase: Phase | None = None, ran: int | None = None) -> Entry:
    entry = msgspec.structs.replace(entry, phase=phase or entry.phase, ran=entry.ran if ran is None else ran)
    journal.save(where, entry)
    progress.at(f"journal {entry.phase} {entry.ran}")
    return entry


def _prepare(plan: Plan) -> tuple[tuple[Change, ...], list[tuple[bytes, bytes]]]:
    """Return what each file will change from and to. Raises Why502Error where a file is not what the plan was made for."""
    seen = {file.path: bytes_of(file) for file in (plan.proxy.files if plan.proxy else ())}
    by_file: dict[str, list[Edit]] = {}
    for item in plan.edits:
        by_file.setdefault(item.file, []).append(item)
    changes, contents = [], []
    for file, own in by_file.items():
        real = os.path.realpath(file)
        is_new = not os.path.exists(real) and file not in seen
        directory = os.path.dirname(real)
        if not is_new:
            disk.may_change(real)
        before = b"" if is_new else disk.read(real)
        if not is_new and before != seen.get(file, before):
            raise Why502Error(f"{file} has changed since it was read", "Nothing was changed. Repeat the fix.")
        after = edit.apply(before, own)
        old = disk.ABSENT if is_new else disk.digest(before)
        made = directory if is_new and not os.path.isdir(directory) else ""
        changes.append(Change(file=file, real=real, before=old, after=disk.digest(after), directory=made))
        contents.append((before, after))
    return tuple(changes), contents


def test_of(proxy: Proxy | None) -> tuple[str, ...]:
    """Return the proxy's own test of its configuration; () where it is not known."""
    return (proxy.exe, *proxy.options, "-t") if proxy is not None and proxy.exe else ()


def _try(where: Path, entry: Entry, progress: Progress) -> None:
    """Test the new content before it is put in place. Raises Why502Error if it fails, and names which content is at fault."""
    pairs = tuple(
        word
        for number, change in enumerate(entry.changes)
        if change.before != disk.ABSENT
        for word in (journal.contents_path(where, entry.id, number, is_new=True), change.real)
    )
    complaint = commands.check(entry.test, pairs)
    if complaint is None:
        return
    if not complaint:
        progress.say("the new configuration passes the proxy's own test")
        return
    journal.sweep(where)
    if of_old := commands.check(entry.test, ()):
        raise Why502Error(
            f"the configuration on disk already fails the proxy's own test: {of_old}", "Nothing was changed. Fix that first."
        )
    raise Why502Error(f"the new configuration fails the proxy's own test: {complaint}", "Nothing was changed.")
