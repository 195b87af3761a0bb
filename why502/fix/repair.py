"""One fix from its plan to its end: send the requests, run the transaction, and judge it by the same requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from why502.diagnosis.causes import CAUSES
from why502.diagnosis.engine import diagnose as think
from why502.fix import error_log, guard, proxy_lock, saturation, transaction, units, verify
from why502.fix.containers import instead
from why502.fix.error_log import Mark
from why502.fix.journal import Entry, Phase
from why502.fix.mitigations import may_fail
from why502.fix.plan import NothingToDo, Plan
from why502.fix.reversal import AsBefore, Progress
from why502.fix.transaction import Verify
from why502.fix.verify import Asked
from why502.host.base import Host
from why502.host.nowhere import NowhereHost
from why502.model.errors import Why502Error
from why502.model.finding import ASSERTED
from why502.model.logs import Symptom
from why502.model.snapshot import Snapshot
from why502.model.target import Target

PAUSE_S = 0.5  # between two checks of a service that was started and needs time


class NotApplied(Why502Error):
    """One plan could not be applied. Everything is unchanged unless the message says otherwise."""


def allowed(plan: Plan, host: Host) -> None:
    """Raise NotApplied, with what to do instead, if a plan's files are not on this machine, or are not ours to change."""
    if plan.is_apart:
        reason, todo = instead(plan, host)
        raise NotApplied(f"cannot be applied from here: {reason}", " ".join(line.strip() for line in todo))
    if isinstance(host, NowhereHost):
        raise NotApplied("this plan is for another machine", "Run the command on that machine.")
    if why_not := guard.refusal(plan, host):
        raise NotApplied(*why_not)


def repair(
    plan: Plan,
    snapshot: Snapshot,
    host: Host,
    where: Path,
    now: datetime,
    progress: Progress,
    *,
    urls: Iterable[str] = (),
    reverts_at: datetime | None = None,
    look_again: Callable[[], Snapshot] | None = None,
) -> Entry:
    """Apply a plan and return its entry: kept, or reverted if it did not help. The caller holds the lock of `where`.

    `look_again` returns a fresh snapshot. Raises NothingToDo if the failure is resolved by now, NotApplied if this plan
    cannot be applied, Why502Error if no plan can.
    """
    allowed(plan, host)
    with proxy_lock.hold(plan.proxy.config if plan.proxy else "", where):
        transaction.settled(where)
        places = plan.places or ((plan.at,) if plan.at else ())
        cut_off = plan.targets if plan.cause in CAUSES and CAUSES[plan.cause].repeats_cut_off else ()
        is_shown_by_handshake = plan.cause in CAUSES and CAUSES[plan.cause].is_shown_by_handshake
        handshakes = tuple(verify.handshakes(snapshot, places, plan.proxy)) if is_shown_by_handshake else ()
        wanted = (*handshakes, *verify.requests(snapshot, places, plan.proxy, urls, cut_off))
        progress.say(f"sending {len(wanted)} requests" if len(wanted) != 1 else "sending 1 request")
        before = verify.ask(host, wanted)
        if look_again is not None and _may_be_over(plan, before) and _is_over(plan, look_again()):
            raise NothingToDo(
                f"recovered meanwhile: no request that {plan.cause} concerns fails any more",
                "Nothing was changed. See `why502 diagnose`.",
            )
        doors = _doors(plan, snapshot)
        try:
            return transaction.apply(
                plan, where, now, before, verifier(host), progress,
                reverts_at=reverts_at, as_before=witness(host), withheld=verify.withheld(snapshot, plan.targets, before),
                pressure=saturation.measure(doors),
            )  # fmt: skip
        except Why502Error as error:
            raise NotApplied(error.message, error.hint) from error


def _doors(plan: Plan, snapshot: Snapshot) -> tuple[Target, ...]:
    """Return where clients reach the limit that a plan raises: at its proxy if it changes that, otherwise at its targets."""
    cause, proxy = CAUSES.get(plan.cause), plan.proxy
    if cause is None or not cause.is_reached_by_load or plan.mitigation:
        return ()
    files = {file.path for file in proxy.files} if proxy else set()
    is_of_proxy = proxy is not None and (
        any(edit.file in files for edit in plan.edits) or any(proxy.unit and proxy.unit in run.argv for run in plan.runs)
    )
    pids = proxy.pids if proxy else ()
    return saturation.doors(snapshot, () if is_of_proxy else plan.targets, pids)


def _may_be_over(plan: Plan, before: tuple[Asked, ...]) -> bool:
    """Return whether a failure may be resolved by now: no request fails, but the plan expects a failure or restarts a service."""
    is_interrupting = any("restart" in run.argv for run in plan.runs)
    sent = (asked for asked in before if not asked.is_from_log)
    return (plan.is_ongoing or is_interrupting) and not any(asked.is_failed and asked.concerns for asked in sent)


def _is_over(plan: Plan, snapshot: Snapshot) -> bool:
    return not any(
        finding.ongoing and finding.confidence >= ASSERTED and finding.cause == plan.cause and finding.target in plan.targets
        for finding in think(snapshot).findings
    )


def witness(host: Host) -> AsBefore:
    """Return a check to run after a roll-back: it names a request that worked before the change and fails now."""

    def complaint_of(entry: Entry) -> str:
        sent = tuple(asked for asked in entry.before if not asked.is_from_log)
        harm = verify.harmed(zip(sent, verify.again(host, sent), strict=True))
        return harm.message if harm else ""

    return complaint_of


def verifier(host: Host) -> Verify:
    """Return the function that judges a change by its requests: a fix must help, a mitigation must not harm other routes."""

    def verdict_of(entry: Entry) -> verify.Verdict:
        logs = entry.logs
        ends = time.monotonic() + transaction.patience_s(entry)
        own = may_fail(entry.mitigation)
        while True:
            after = verify.again(host, entry.before)
            verdict = (
                verify.spared(entry.before, after, is_own_spared=not own)
                if entry.mitigation
                else verify.judge(entry.before, after)
            )
            verdict = _with_log(entry, verdict, logs) if verdict.helps else _with_other_failure(entry, verdict, logs)
            is_settled = verdict.helps and not verdict.failing and verify.is_settled(entry.before, after)
            if is_settled or time.monotonic() >= ends:
                return _with_units(entry, _under_load(entry, verdict, verify.only_waited(after)))
            time.sleep(PAUSE_S)
            logs = error_log.now(logs)  # what failed until then failed only because it was not up yet

    return verdict_of


def _with_units(entry: Entry, verdict: verify.Verdict) -> verify.Verdict:
    """Return the verdict; a unit that was started and has failed since makes a good one bad, or partly good."""
    failed, is_down = units.complaint(entry) if verdict.helps and entry.phase is Phase.LOADED else ("", False)
    if not failed:
        return verdict
    if is_down:
        return msgspec.structs.replace(verdict, helps=False, message=failed)
    return msgspec.structs.replace(verdict, message=f"{verdict.message}; {failed}", failing=(*verdict.failing, failed))


def _under_load(entry: Entry, verdict: verify.Verdict, has_only_waited: bool) -> verify.Verdict:
    """Return a verdict, for a limit that only load reaches: as that load shows it, once it is there again.

    A bad one stays, unless our own requests have only waited for an answer, and the load shows that more clients are served.
    """
    cause = CAUSES.get(entry.cause)
    if entry.mitigation or cause is None or not cause.is_reached_by_load:
        return verdict
    if not verdict.helps and (entry.pressure is None or not has_only_waited):
        return verdict
    if entry.pressure is None:
        reason = "the load that reached the limit cannot be seen from here, and the process began without connections"
        return _doubted(verdict, reason)
    relief = saturation.observe(entry.pressure)
    # Requests that waited before the change may still fail; only the limit's own message shows that it is reached again.
    news = error_log.news(entry.logs, entry.master)
    named = [name for name in news if name in entry.seen and name.partition(" of ")[0] in cause.symptoms]
    if named:
        return msgspec.structs.replace(verdict, helps=False, message=f"the error log shows {named[0]} again")
    if not verdict.helps:
        message = f"{relief.message}; {verdict.message}"
        return verify.Verdict(helps=True, message=message, failing=(relief.waiting,)) if relief.waiting else verdict
    if relief.is_refuted:
        return msgspec.structs.replace(verdict, helps=False, message=relief.message)
    if not relief.is_proved:
        return _doubted(verdict, relief.waiting or relief.message, (relief.waiting,) if relief.waiting else ())
    is_seen = any(asked.is_failed and asked.concerns for asked in entry.before)  # then its answer is what may be in doubt
    doubt = verdict.unverified if is_seen else ""
    return msgspec.structs.replace(verdict, message=f"{verdict.message}; {relief.message}", unverified=doubt)


def _doubted(verdict: verify.Verdict, reason: str, failing: tuple[str, ...] = ()) -> verify.Verdict:
    return msgspec.structs.replace(
        verdict,
        message=f"{verdict.message}; {reason}",
        failing=(*verdict.failing, *failing),
        unverified="" if failing else reason,
    )


def _with_other_failure(entry: Entry, verdict: verify.Verdict, logs: tuple[Mark, ...]) -> verify.Verdict:
    """Return a bad verdict; if the new workers log a failure other than those to be fixed, it is named: the change may have
    repaired its own fault, and another one is behind it.
    """
    found = error_log.news(logs, entry.master) if entry.ran and entry.seen else {}
    others = {name: count for name, count in found.items() if name not in entry.seen}
    if not others:
        return verdict
    name = max(others, key=lambda name: others[name])
    message = f"{verdict.message}; the error log shows {name} since, which this does not fix"
    return msgspec.structs.replace(verdict, message=message)


def _with_log(entry: Entry, verdict: verify.Verdict, logs: tuple[Mark, ...]) -> verify.Verdict:
    """Return a good verdict with the newer error log lines added. If no request reproduces the failure, the log alone decides."""
    found = error_log.news(logs, entry.master)
    if not logs or not entry.ran:
        return verdict
    if not found:
        return msgspec.structs.replace(verdict, message=f"{verdict.message}; the error log shows no new failures")
    missed = [name for name in found if name.startswith(Symptom.SCRIPT_NOT_FOUND)]
    if missed and entry.cause in CAUSES and CAUSES[entry.cause].is_disproved_by_404:  # a 404 fixes nothing
        return msgspec.structs.replace(
            verdict, message=f"{verdict.message}; but {missed[0]}: this plan needs a different script", helps=False
        )
    (name, count), *_ = found.most_common(1)
    total = sum(found.values())
    since = f"{total} failures since, most often {name} ({count})" if total > 1 else f"one failure since: {name}"
    is_unseen = not entry.mitigation and not any(asked.is_failed for asked in entry.before)
    message = f"{verdict.message}; the error log shows {since}"
    return msgspec.structs.replace(verdict, message=message, helps=not (is_unseen and name in entry.seen))
