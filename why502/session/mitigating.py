"""Mitigations from their plan to their end: apply one, revert one, and revert expired ones."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from why502.fix import journal
from why502.fix.journal import Entry
from why502.fix.schedule import AGAIN_S
from why502.fix.signals import interruptible
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.target import Target
from why502.session.fixing import Work, take_back

LOCK_S = 120.0  # how long the expiry of a mitigation waits for another run


def active(state: str | None) -> list[Entry]:
    """Return the active and the interrupted mitigations, oldest first. Raises Why502Error."""
    return _active(journal.directory(state))


def reach(host: Host, text: str) -> None:
    """Raise Why502Error if a server to be added accepts no connection."""
    target = Target.parse(text)
    if target is None:
        return
    try:
        host.connect(target, timeout_s=3.0).close()
    except HostError as error:
        raise Why502Error(
            f"{text} does not accept connections: {error.reason}", "Start it first. Nothing was changed."
        ) from error


def undo(id_: str | None, host: Host, work: Work) -> Entry:
    """Revert the mitigation with an id, or the latest; return its entry. Raises Why502Error if there is none."""
    where = journal.directory(work.state)
    with journal.lock(where), interruptible():
        found = [entry for entry in _active(where) if id_ in (None, entry.id)]
        if not found:
            raise Why502Error(
                f"no active mitigation {id_}" if id_ else "no mitigation is active",
                "`why502 mitigate list` shows the active ones.",
            )
        return take_back(where, found[-1], host, work)


def expire(host: Host, work: Work) -> bool:
    """Revert every expired mitigation; return whether all could be reverted."""
    where = journal.directory(work.state)
    if not _due(where, work.now()):
        return True
    is_reverted = True
    with _locked(where), interruptible():
        for entry in reversed(_due(where, work.now())):
            try:
                work.progress.say(f"{entry.id} has expired: {entry.message}")
                is_reverted &= not take_back(where, entry, host, work).left
            except Why502Error as error:
                work.progress.say(f"{error.message}. {error.hint}")
                is_reverted = False
    return is_reverted


def wait(host: Host, work: Work) -> None:
    """Wait until each mitigation, including later ones, expires, and revert it. A failed revert is retried later."""
    later: dict[str, datetime] = {}
    while ends := {entry.id: later.get(entry.id, entry.reverts_at) for entry in active(work.state) if entry.reverts_at}:
        now = work.now()
        if due := [id_ for id_, end in ends.items() if end <= now]:
            expire(host, work)
            later |= dict.fromkeys(due, now + timedelta(seconds=AGAIN_S))
        else:
            left_s = (min(ends.values()) - now).total_seconds()
            time.sleep(max(0.05, min(5.0, left_s)))  # the clock may be changed, or the mitigation reverted by hand


def _active(where: Path) -> list[Entry]:
    return [entry for entry in journal.entries(where) if entry.mitigation and entry.phase is not journal.Phase.REVERTED]


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
