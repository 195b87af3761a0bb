"""`--apply`: the generated files through the same transaction as a fix: write, test, reload, ask, and roll back if it harms."""

from __future__ import annotations

import msgspec

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.fix import journal, proxy_lock, transaction, verify
from why502.fix.journal import Entry
from why502.fix.plan import Plan
from why502.fix.repair import allowed, verifier, witness
from why502.fix.signals import interruptible
from why502.fix.verify import Verdict
from why502.generate.work import Generated
from why502.generate.writing import Placed, State, place, require_ours
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.proxy import Proxy
from why502.model.remedy import Edit, Run
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request
from why502.remedies.changes import reload
from why502.session.fixing import Work, with_diffs


def apply(generated: Generated, directory: str, host: Host, work: Work) -> tuple[Entry, Plan] | None:
    """Apply generated files; return the entry, kept or reverted, with its plan. None if nothing has to change.

    Raises Why502Error if it cannot be applied, and NotApplied if a file is not ours to change.
    """
    placed = place(generated, directory)
    require_ours(placed)
    if not any(one.has_drifted for one in placed):
        return None
    now = work.now()
    snapshot = collect(host, now, now, now, CollectOptions(probes=False))
    plan = with_diffs(_plan(generated, placed, _proxy(snapshot, generated.kind.name, directory)), host)
    allowed(plan, host)
    work.confirm(plan)
    where = journal.directory(work.state)
    with journal.lock(where), interruptible(), proxy_lock.hold(plan.proxy.config if plan.proxy else "", where):
        transaction.settled(where)
        before = verify.ask(host, tuple(verify.requests(snapshot, (), plan.proxy)))
        usual = verifier(host)

        def judge(entry: Entry) -> Verdict:
            verdict = usual(entry)
            return _of_site(generated, host, verdict) if verdict.helps else verdict

        entry = transaction.apply(plan, where, now, before, judge, work.progress, as_before=witness(host))
    return entry, plan


def _proxy(snapshot: Snapshot, kind: str, directory: str) -> Proxy | None:
    """Return the running proxy that reads this directory. Raises Why502Error if there is none and the kind is a proxy."""
    found = [
        proxy for proxy in snapshot.proxies or () if proxy.kind == kind and proxy.config.startswith(f"{directory.rstrip('/')}/")
    ]
    running = [proxy for proxy in found if proxy.is_running]
    if not running:
        raise Why502Error(
            f"no running {kind} reads {directory}", f"Start it first, or write the files with -o {directory} and then start it."
        )
    return running[0]


def _plan(generated: Generated, placed: tuple[Placed, ...], proxy: Proxy | None) -> Plan:
    edits = tuple(_edit(one) for one in placed if one.state is not State.SAME)
    links = tuple(
        Run(argv=("ln", "-s", "--", one.target, one.link), undo=("rm", "-f", "--", one.link)) for one in placed if one.needs_link
    )
    names = ", ".join(edit.file for edit in edits) or ", ".join(run.argv[-1] for run in links)
    return Plan(
        cause="",
        message=f"Write {names}: {generated.made.product}.",
        remedy=f"write {names}, test it, and load it",
        edits=edits,
        runs=(*links, *reload(proxy)),
        proxy=proxy,
        warnings=generated.made.notes,
    )


def _edit(one: Placed) -> Edit:
    """Return the change of a whole file."""
    end = len(one.old.encode("utf-8", "surrogateescape"))
    return Edit(file=one.path, line=1, start=0, end=end, before=one.old, after=one.file.text)


def _of_site(generated: Generated, host: Host, verdict: Verdict) -> Verdict:
    """Return the verdict with the answer of the new site itself: it must not fail where the application accepts connections."""
    entrance = generated.made.entrance
    if entrance is None:
        return verdict
    request = Request(
        target=entrance.target, host=entrance.host, http_version="1.1", answer_s=entrance.answer_s, through_proxy=True
    )
    try:
        answer = probe(host, request)
    except HostError as error:
        return msgspec.structs.replace(verdict, helps=False, message=f"{entrance.host} cannot be reached: {error.reason}")
    status = answer.status or 0
    if 0 < status < verify.SERVER_ERROR:
        return msgspec.structs.replace(verdict, message=f"{entrance.host} answers {status}; {verdict.message}")
    how = str(status) if status else "nothing"
    if not any(_accepts(host, target) for target in entrance.apps):
        return msgspec.structs.replace(verdict, message=f"{entrance.host} answers {how}: the application is not up yet")
    return msgspec.structs.replace(
        verdict, helps=False, message=f"{entrance.host} answers {how}, although the application accepts connections"
    )


def _accepts(host: Host, target: Target) -> bool:
    try:
        host.connect(target, timeout_s=2.0).close()
    except HostError:
        return False
    return True
