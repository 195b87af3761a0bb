"""One fix as a transaction: back up, write, test, load, verify; kept when it helps, else everything is put back."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from why502.config import edit
from why502.fix import disk, journal
from why502.fix.journal import Change, Entry, Phase
from why502.fix.plan import Plan
from why502.model.errors import Why502Error
from why502.model.remedy import Edit, Run
from why502.model.snapshot import Proxy

COMMAND_S = 30.0
WORKERS_S = 10.0
LOOPS = 3  # restarts from which starting a service again would only go on with its loop
# Pairs of files up to "--": the new content over the old file, for this one test only.
_BIND = 'set -e; while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'

Verify = Callable[[], "Verdict"]


class Verdict(msgspec.Struct, frozen=True):
    """What the requests say after the change."""

    helps: bool
    says: str


@dataclass
class Progress:
    """Hooks of a run: `say` for the person who watches; `at` is called before and after each thing that lasts."""

    say: Callable[[str], None] = lambda _: None
    at: Callable[[str], None] = lambda _: None


def apply(
    plan: Plan,
    where: Path,
    now: datetime,
    verify: Verify,
    progress: Progress,
    *,
    urls: tuple[str, ...] = (),
    reverts_at: datetime | None = None,
) -> Entry:
    """Carry out a plan and return its entry, KEPT or REVERTED. Raises Why502Error where nothing was changed."""
    if unfinished := [entry for entry in journal.entries(where) if entry.is_unfinished]:
        raise Why502Error(
            f"an earlier fix ({unfinished[-1].id}) was interrupted", "Finish it with --resume, or take it back with --undo."
        )
    changes, contents = _prepare(plan.edits)
    test, load = commands(plan.proxy)
    entry = Entry(
        id=journal.new_id(now), began_at=now, cause=plan.cause, says=plan.remedy, phase=Phase.PLANNED, changes=changes, runs=plan.runs,
        test=test, reload=load, urls=urls, reverts_at=reverts_at,
    )  # fmt: skip
    for run in plan.runs:
        _may_run(run)
    for number, (before, after) in enumerate(contents):
        disk.keep(journal.contents_path(where, entry.id, number, is_new=False), before)
        progress.at(f"backup {number}")
        disk.keep(journal.contents_path(where, entry.id, number, is_new=True), after)
    if changes:
        progress.say(f"kept the old content in {where}")
        _try(where, entry)
        progress.say("the new configuration passes the proxy's own test")
    progress.at("before journal")
    journal.save(where, entry)
    progress.at("planned")
    return _go_on(where, entry, verify, progress)


def resume(where: Path, entry: Entry, verify: Verify, progress: Progress) -> Entry:
    """Finish an interrupted fix. Raises Why502Error."""
    return _go_on(where, entry, verify, progress)


def _go_on(where: Path, entry: Entry, verify: Verify, progress: Progress) -> Entry:
    try:
        entry = _write(where, entry, progress)
        entry = _run(where, entry, progress)
        verdict = verify()
    except Why502Error as error:
        progress.say(f"it failed: {error.says}; putting everything back")
        revert(where, entry, progress)
        raise Why502Error(f"{error.says}; everything was put back", error.hint) from error
    progress.say(verdict.says)
    if not verdict.helps:
        progress.say("putting everything back")
        return revert(where, entry, progress)
    return _save(where, entry, progress, phase=Phase.KEPT)


def _write(where: Path, entry: Entry, progress: Progress) -> Entry:
    for number, change in enumerate(entry.changes):
        now = disk.digest(disk.read(change.real))
        if now == change.after:
            continue
        if now != change.before:
            raise Why502Error(f"{change.file} was changed by somebody else meanwhile", "Look again, then repeat the fix.")
        progress.at(f"before write {number}")
        disk.replace(change.real, journal.content(where, entry, number, is_new=True))
        progress.at(f"written {number}")
        progress.say(f"wrote {change.file}")
    return _save(where, entry, progress, phase=Phase.WRITTEN) if entry.phase is Phase.PLANNED else entry


def _run(where: Path, entry: Entry, progress: Progress) -> Entry:
    if entry.phase is Phase.LOADED:
        return entry
    for number, run in enumerate(entry.runs):
        if number >= entry.ran:
            entry = _save(where, entry, progress, ran=number + 1)
        _execute(run.argv)
        progress.at(f"ran {number}")
        progress.say(f"ran {' '.join(run.argv)}")
    return _save(where, entry, progress, phase=Phase.LOADED)


def revert(where: Path, entry: Entry, progress: Progress) -> Entry:
    """Put every file back to the byte, take the commands back, and load the old configuration. Raises Why502Error where it cannot."""
    is_loaded = entry.ran > 0 and any("reload" in run.argv for run in entry.runs)
    for number, change in reversed(list(enumerate(entry.changes))):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(disk.temporary(change.real))
        now = disk.digest(disk.read(change.real))
        if now == change.before:
            continue
        if now != change.after:
            raise Why502Error(
                f"{change.file} was changed by somebody else since",
                f"It was left alone; its old content is {journal.contents_path(where, entry.id, number, is_new=False)}.",
            )
        progress.at(f"before restore {number}")
        disk.replace(change.real, journal.content(where, entry, number, is_new=False))
        progress.at(f"restored {number}")
        progress.say(f"restored {change.file}")
    for run in reversed(entry.runs[: entry.ran]):
        if run.undo:
            _execute(run.undo)
            progress.say(f"ran {' '.join(run.undo)}")
    if is_loaded and entry.changes and entry.reload:
        _execute(entry.test)
        _execute(entry.reload)
        progress.say("loaded the old configuration")
    return _save(where, entry, progress, phase=Phase.REVERTED)


def _save(where: Path, entry: Entry, progress: Progress, *, phase: Phase | None = None, ran: int | None = None) -> Entry:
    entry = msgspec.structs.replace(entry, phase=phase or entry.phase, ran=entry.ran if ran is None else ran)
    journal.save(where, entry)
    progress.at(f"journal {entry.phase} {entry.ran}")
    return entry


def _prepare(edits: tuple[Edit, ...]) -> tuple[tuple[Change, ...], list[tuple[bytes, bytes]]]:
    """Return what each file will change from and to. Raises Why502Error where a file is not what the plan was made for."""
    by_file: dict[str, list[Edit]] = {}
    for item in edits:
        by_file.setdefault(item.file, []).append(item)
    changes, contents = [], []
    for file, own in by_file.items():
        real = os.path.realpath(file)
        disk.may_change(real)
        before = disk.read(real)
        after = edit.apply(before, own)
        changes.append(Change(file=file, real=real, before=disk.digest(before), after=disk.digest(after)))
        contents.append((before, after))
    return tuple(changes), contents


def commands(proxy: Proxy | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the commands that test and load the proxy's configuration; () where it does not run."""
    if proxy is None or not proxy.is_running or not proxy.exe:
        return (), ()
    program = (proxy.exe, *proxy.options)
    return (*program, "-t"), (*program, "-s", "reload")


def _try(where: Path, entry: Entry) -> None:
    """Test the new content before it is put in place: bound over the old one in a mount namespace of its own (root only)."""
    if not entry.test or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    pairs = [
        word
        for number, change in enumerate(entry.changes)
        for word in (journal.contents_path(where, entry.id, number, is_new=True), change.real)
    ]
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", _BIND, "sh", *pairs, "--", *entry.test],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False,
    )  # fmt: skip
    if done.returncode != 0 and "mount:" not in done.stderr and "unshare:" not in done.stderr:
        raise Why502Error(f"the new configuration fails the proxy's own test: {_last(done.stderr)}", "Nothing was changed.")


def _may_run(run: Run) -> None:
    """Raise Why502Error where a service that is to be started only loops."""
    if run.argv[:2] not in (("systemctl", "start"), ("systemctl", "restart")) or len(run.argv) < 3:
        return
    done = subprocess.run(
        ["systemctl", "show", "-p", "NRestarts", "--value", "--", run.argv[2]],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S, check=False,
    )  # fmt: skip
    restarts = done.stdout.strip()
    if restarts.isdigit() and int(restarts) >= LOOPS:
        raise Why502Error(
            f"{run.argv[2]} was started {restarts} times already and died each time: starting it again would not help",
            f"Look at its last words: journalctl -u {run.argv[2]} -n 50",
        )


def _execute(argv: tuple[str, ...]) -> None:
    """Run one command without a shell; after a reload wait until new workers are there. Raises Why502Error where it fails."""
    old = _workers() if "reload" in argv else frozenset()
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Why502Error(f"{' '.join(argv)}: {error}", "Run it by hand to see why.") from error
    if done.returncode != 0:
        raise Why502Error(
            f"{' '.join(argv)} ended with status {done.returncode}: {_last(done.stderr)}", "Run it by hand to see why."
        )
    if old:
        _await_new_workers(old)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return next((line for line in lines if "[emerg]" in line), lines[-1] if lines else "no message")


def _await_new_workers(old: frozenset[int]) -> None:
    ends = time.monotonic() + WORKERS_S
    while time.monotonic() < ends:
        if _workers() - old:
            return
        time.sleep(0.02)  # there is nothing to wait on: the workers are no children of ours
    raise Why502Error("no new worker started within 10 s after the reload", "Look into the proxy's error log.")


def _workers() -> frozenset[int]:
    """Return the pids of nginx workers that serve (their title says so; those that end say "is shutting down")."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{name}/cmdline").read_bytes()
                if title.startswith(b"nginx: worker process") and b"shutting down" not in title:
                    found.add(int(name))
    return frozenset(found)
