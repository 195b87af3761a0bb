"""A fix from its plans to its end: the next remedy if one did not help, recovery from interruptions, and undo."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from why502.config.edit import with_diff
from why502.fix import journal, places, proxy_lock, reversal, transaction
from why502.fix.guard import refusal
from why502.fix.journal import Entry
from why502.fix.plan import Plan
from why502.fix.repair import NotApplied, allowed, verifier, witness
from why502.fix.repair import repair as carry_out
from why502.fix.reversal import Progress
from why502.fix.signals import interruptible
from why502.host.base import Host
from why502.host.nowhere import NowhereHost
from why502.model.errors import HostError, Missing, Why502Error
from why502.model.remedy import Edit
from why502.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The context of a repair: the directory of its journal (None: the usual one), the time, and callbacks."""

    state: str | None
    now: Callable[[], datetime]
    progress: Progress = field(default_factory=Progress)
    confirm: Callable[[Plan], None] = lambda _: None  # shows a plan about to be applied; raises if it is declined
    unhelpful: Callable[[Entry, Plan], None] = lambda _entry, _plan: (
        None
    )  # shows the result of a plan that is followed by the next one
    look_again: Callable[[], Snapshot] | None = None  # examines the machine again, to see whether the failure is still there


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair: the last plan with its entry, and the earlier ones that did not help, each with its outcome."""

    entry: Entry
    plan: Plan
    tried: tuple[tuple[Plan, str], ...] = ()


def with_diffs(plan: Plan, host: Host) -> Plan:
    """Return the plan with a diff of each change, also of files that are on the machine but not in the snapshot.

    Changes on another machine have none. Raises NotApplied if a file of this machine cannot be read.
    """

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
    """Return the rights that the current user lacks for a plan; "" if no obstacle is known."""
    if os.geteuid() == 0 or plan.is_apart:
        return ""
    for edit in plan.edits:
        path = Path(edit.file)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            return f"no permission to write {edit.file}"
    ordered = next((run.argv for run in plan.runs if run.argv[:1] == ("systemctl",) and "--user" not in run.argv), None)
    return f"`{shlex.join(ordered)}` needs root" if ordered else ""


def repair(
    plan: Plan,
    snapshot: Snapshot,
    host: Host,
    work: Work,
    *,
    urls: tuple[str, ...] = (),
    reverts_at: datetime | None = None,
) -> Entry:
    """Apply the plan; return its entry, kept, or reverted if it did not help. Raises Why502Error, NotApplied."""
    allowed(plan, host)
    work.confirm(plan)
    where = journal.directory(work.state)
    with journal.lock(where), interruptible():
        return carry_out(
            plan, snapshot, host, where, work.now(), work.progress,
            urls=urls, reverts_at=reverts_at, look_again=work.look_again,
        )  # fmt: skip


def repair_with_first(
    plans: tuple[Plan, ...], snapshot: Snapshot, host: Host, work: Work, *, urls: tuple[str, ...] = ()
) -> Repaired:
    """Apply one plan after the other until one helps; return the result of the last. Raises Why502Error."""
    tried: list[tuple[Plan, str]] = []
    refused = {number: reason for number, plan in enumerate(plans) if (reason := refusal(plan, host))}
    if len(refused) == len(plans):
        raise NotApplied(*refused[0])
    for message, _ in refused.values():
        work.progress.say(f"cannot be applied from here: {message}")
    plans = tuple(plan for number, plan in enumerate(plans) if number not in refused)
    if plans and (lack := lacking(plans[0])):
        raise Why502Error(f"permission denied: {lack}", "Run it as root: sudo why502 fix --apply.")
    for place, planned in enumerate(plans):
        plan, rest = planned, plans[place + 1 :]
        try:
            plan = with_diffs(planned, host)
            entry = repair(plan, snapshot, host, work, urls=urls)
        except NotApplied as error:
            transaction.settled(journal.directory(work.state))
            if not rest:
                raise
            work.progress.say(error.message)
            tried.append((plan, "failed"))
        else:
            if entry.phase is journal.Phase.KEPT or not rest:
                return Repaired(entry, plan, tuple(tried))
            work.unhelpful(entry, plan)
            tried.append((plan, entry.phase))
        work.progress.say(f"that did not help; next: {rest[0].remedy}")
    raise AssertionError("no plan")


def undo(host: Host, work: Work) -> Entry:
    """Undo an interrupted change, else the last fix; return its entry. Raises Why502Error if there is none."""
    where = journal.directory(work.state)
    with journal.lock(where), interruptible():
        every = journal.entries(where)
        wanted = [entry for entry in every if entry.is_unfinished and not entry.is_stuck] or [
            entry for entry in every if entry.is_stuck or (entry.phase is journal.Phase.KEPT and not entry.mitigation)
        ]
        if not wanted:
            raise Why502Error("no fix to undo", f"The journal is in {where}.")
        return take_back(where, wanted[-1], host, work)


def take_back(where: Path, entry: Entry, host: Host, work: Work) -> Entry:
    """Revert one change while no other run changes the same proxy; return its entry. The caller holds the journal's lock."""
    with proxy_lock.hold(entry.config, where):
        return reversal.revert(where, entry, work.progress, witness(host))


def resume(host: Host, work: Work) -> Entry:
    """Finish an interrupted change; return its entry. Raises Why502Error if there is none."""
    where = journal.directory(work.state)
    with journal.lock(where), interruptible():
        wanted = [entry for entry in journal.entries(where) if entry.is_unfinished]
        if not wanted:
            raise Why502Error("no fix was interrupted", f"The journal is in {where}.")
        with proxy_lock.hold(wanted[-1].config, where):
            return transaction.resume(where, wanted[-1], verifier(host), work.progress, witness(host))


def interrupted(state: str | None = None) -> Iterator[str]:
    """Yield a sentence about each interrupted change that must be finished or undone, from the journals known here.

    A change in progress in another run does not count. Unreadable journals are skipped: the caller has its own output to show.
    """
    known = [journal.known_directory(state), *proxy_lock.journals()]
    for where in dict.fromkeys(one for one in known if one is not None):
        place = "" if where == places.journal() else f", with {where} for --state"
        try:
            entries = [] if journal.is_locked(where) else journal.entries(where)
        except Why502Error:
            continue
        for entry in entries:
            if not entry.is_unfinished:
                continue
            undo = f"why502 mitigate undo {entry.id}" if entry.mitigation else "why502 fix --undo"
            ways = f"undo it with `{undo}`" if entry.is_stuck else f"finish it with `why502 fix --resume`, or `{undo}`"
            how = "is not undone completely" if entry.is_stuck else "was interrupted"
            yield f"an earlier {entry.kind} ({entry.id}: {entry.message}) {how}; {ways}{place}"
