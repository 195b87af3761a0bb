"""Mitigations from their plan to their end: apply one, revert one, and revert those whose time is up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from why502.fix import journal, schedule, transaction
from why502.fix.journal import Entry
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.target import Target
from why502.session.fixing import Work

LOCK_S = 120.0  # how long the expiry of a mitigation waits for another run


def active(state: str | None) -> list[Entry]:
    """Return the active mitigations, the oldest first. Raises Why502Error."""
    return _active(journal.directory(state))


def reach(host: Host, text: str) -> None:
    """Raise Why502Error where nothing takes a connection on a server that is to be brought in."""
    target = Target.parse(text)
    if target is None:
        return
    try:
        host.connect(target, timeout_s=3.0).close()
    except HostError as error:
        raise Why502Error(
            f"{text} does not accept connections: {error.reason}", "Start it first. Nothing was changed."
        ) from error


def revert_at(entry: Entry, work: Work) -> str:
    """Have an applied mitigation reverted at its time; return by what."""
    return schedule.begin(entry, journal.directory(work.state), work.now())


def undo(id_: str | None, work: Work) -> Entry:
    """Revert the mitigation with an id, or the latest; return its entry. Raises Why502Error where there is none."""
    where = journal.directory(work.state)
    with journal.lock(where):
        found = [entry for entry in _active(where) if id_ in (None, entry.id)]
        if not found:
            raise Why502Error(
                f"no active mitigation {id_}" if id_ else "no mitigation is active",
                "`why502 mitigate list` shows the active ones.",
            )
        entry = transaction.revert(where, found[-1], work.progress)
        schedule.cancel(entry)
    return entry


def expire(work: Work) -> bool:
    """Revert every mitigation whose time is up; return whether all of them could be reverted."""
    where = journal.directory(work.state)
    if not _due(where, work.now()):
        return True
    is_reverted = True
    with _locked(where):
        for entry in reversed(_due(where, work.now())):
            try:
                work.progress.say(f"{entry.id} has expired: {entry.message}")
                is_reverted &= not transaction.revert(where, entry, work.progress).left
                schedule.cancel(entry)
            except Why502Error as error:
                work.progress.say(f"{error.message}. {error.hint}")
                is_reverted = False
    return is_reverted


def wait(work: Work) -> bool:
    """Wait until each mitigation, including later ones, expires, and revert it; return whether all of them could be reverted."""
    failed = set[str]()
    while True:
        ends = [entry for entry in active(work.state) if entry.reverts_at and entry.id not in failed]
        if not ends:
            return not failed
        if due := [entry for entry in ends if entry.reverts_at and entry.reverts_at <= work.now()]:
            expire(work)
            failed |= {entry.id for entry in active(work.state)} & {entry.id for entry in due}
            continue
        first = min(entry.reverts_at for entry in ends if entry.reverts_at)
        time.sleep(max(0.05, min(5.0, (first - work.now()).total_seconds())))  # the clock may be set, the mitigation reverted


def _active(where: Path) -> list[Entry]:
    return [entry for entry in journal.entries(where) if entry.lever and entry.phase is journal.Phase.KEPT]


def _due(where: Path, now: datetime) -> list[Entry]:
    return [entry for entry in _active(where) if entry.reverts_at and entry.reverts_at <= now]


@contextlib.contextmanager
def _locked(where: Path) -> Iterator[None]:
    """Hold the lock; wait for it up to a limit."""
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
