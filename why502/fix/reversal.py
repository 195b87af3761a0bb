"""Rolling back: restore every file byte for byte, undo the commands, and make running processes load the files."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from why502.fix import commands, disk, guard, journal, merge, schedule, signals
from why502.fix.journal import Change, Entry, Phase
from why502.model.errors import Why502Error
from why502.model.remedy import Run

AsBefore = Callable[[Entry], str]  # differences from the state before the change that was rolled back; "" if there are none

# Where the reverse order would be wrong: systemd must read the old files before a restart uses them,
# and labels are assigned again only after their rule is removed.
_FIRST = {("systemctl", "daemon-reload"): -1, ("restorecon",): 1}


@dataclass(slots=True)
class Progress:
    """Hooks of a run: `say` reports progress; `at` is called before and after each lasting change."""

    say: Callable[[str], None] = lambda _: None
    at: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class _Restore:
    """One file to restore: the digest of its present content, and its restored content; None if it is to be removed."""

    number: int
    change: Change
    now: str
    content: bytes | None


def revert(where: Path, entry: Entry, progress: Progress, as_before: AsBefore = lambda _: "") -> Entry:
    """Restore every file byte for byte and undo the commands, the last one first; return the entry.

    The entry is REVERTED once the running processes have loaded the files. Otherwise it stays REVERTING, and a later run tries
    again. If somebody has changed other lines of a file since, only our change is removed. Raises Why502Error if files cannot be
    restored; then none has been. The entry's `left` lists what else could not be reverted, and the result of `as_before`.
    """
    with signals.held():
        for change in entry.changes:
            _remove_temporary(change)
        restores = [
            found
            for number, change in reversed(list(enumerate(entry.changes)))
            if (found := _restore(where, entry, number, change))
        ]
        may_be_loaded = bool(restores) or bool(entry.ran) or entry.phase is not Phase.PLANNED
        entry = _record(where, msgspec.structs.replace(entry, phase=Phase.REVERTING, left=()), progress)
        for restore in restores:
            _put_back(restore, progress)
        left, is_loaded = [], True
        for run in _backwards(entry, may_be_loaded=may_be_loaded):
            try:
                _take_back(run, entry, progress)
            except Why502Error as error:
                message = error.message
                if is_load(run) and entry.changes:
                    is_loaded = entry.was_refused
                    message = f"the files are restored, but what runs still has the change: {message}"
                left.append(message)
                progress.say(message)
        if is_loaded and entry.before and may_be_loaded and (complaint := as_before(entry)):
            left.append(complaint)
            progress.say(complaint)
        phase = Phase.REVERTED if is_loaded else Phase.REVERTING
        entry = _record(where, msgspec.structs.replace(entry, phase=phase, left=tuple(left)), progress)
        if not entry.is_unfinished:
            schedule.cancel(entry)
        return entry


def is_load(run: Run) -> bool:
    """Return whether a command reloads files from disk. Such a command is its own undo and interrupts nothing."""
    return bool(run.undo) and run.undo == run.argv and "restart" not in run.argv


def _backwards(entry: Entry, *, may_be_loaded: bool) -> list[Run]:
    """Return the commands to undo, in order. Reloads are included even if only somebody else can have run them."""
    loads = entry.changes and may_be_loaded
    last_first = reversed(list(enumerate(entry.runs)))
    wanted = [run for number, run in last_first if run.undo and (number < entry.ran or (loads and is_load(run)))]
    return sorted(wanted, key=lambda run: _FIRST.get(run.undo[0:2], _FIRST.get(run.undo[0:1], 0)))


def _take_back(run: Run, entry: Entry, progress: Progress) -> None:
    if run.undo[-2:] == ("-s", "reload") and not entry.master.find() and "nsenter" not in run.undo[0]:
        progress.say("the proxy does not run: it will load the restored files when it starts")
        return
    commands.execute(run.undo, entry.master, entry.began_at)
    progress.say(f"ran {shlex.join(run.undo)}")


def _remove_temporary(change: Change) -> None:
    with contextlib.suppress(OSError, Why502Error):
        guard.file(change.real)
        os.unlink(disk.temporary(change.real))


def _restore(where: Path, entry: Entry, number: int, change: Change) -> _Restore | None:
    """Return the file to restore; None if nothing has to be done. Raises Why502Error if that cannot be determined."""
    now = disk.digest_of(change.real)
    if now == change.before:
        return None
    guard.file(change.real)
    if change.before == disk.ABSENT:
        if now != change.after:
            raise Why502Error(f"{change.file} has since been changed", "It was not touched. Remove it manually.")
        return _Restore(number, change, now, None)
    old = journal.content(where, entry, number, is_new=False)
    return _Restore(number, change, now, old if now == change.after else _without(where, entry, number, change))


def _put_back(restore: _Restore, progress: Progress) -> None:
    change = restore.change
    progress.at(f"before restore {restore.number}")
    if restore.content is None:
        disk.remove(change.real)
        if change.directory:
            with contextlib.suppress(OSError):  # somebody else has added files to it
                os.rmdir(change.directory)
    else:
        disk.replace(change.real, restore.content, restore.now)
    progress.at(f"restored {restore.number}")
    progress.say(f"restored {change.file}")


def _without(where: Path, entry: Entry, number: int, change: Change) -> bytes:
    """Return a file that was changed since, without our change. Raises Why502Error if the changes cannot be separated, or the
    result is invalid.
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


def _record(where: Path, entry: Entry, progress: Progress) -> Entry:
    """Write the entry. If its disk is full, delete the stored new contents: they are not needed once the files are restored.

    If even that does not help, the roll-back continues without saving. It is safe to run a roll-back twice.
    """
    try:
        journal.save(where, entry)
    except Why502Error as error:
        if entry.phase is Phase.REVERTED:
            for path in _contents_of_new(where, entry):
                with contextlib.suppress(OSError):
                    path.unlink()
        try:
            journal.save(where, entry)
        except Why502Error:
            progress.say(f"the journal could not be written: {error.message}")
    progress.at(f"journal {entry.phase} {entry.ran}")
    return entry


def _contents_of_new(where: Path, entry: Entry) -> Iterator[Path]:
    for number in range(len(entry.changes)):
        yield Path(journal.contents_path(where, entry.id, number, is_new=True))
