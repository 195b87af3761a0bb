"""diagnose(): examines every target for every cause, weighs the evidence, attributes effects to their causes,
and ranks the remaining findings.

Weights are log-odds. A cause starts from PRIOR. The engine adds the weights of its symptoms and of its examination; the
logistic value of the sum is the confidence. No cause states a confidence of its own, so causes are comparable, and every
answer shows its sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import msgspec

from why502.diagnosis.addressed import addressed
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.checks import check_all
from why502.diagnosis.containers import all_paused
from why502.diagnosis.findings import finding_of
from why502.diagnosis.hurried import without_hurried
from why502.diagnosis.index import Joins
from why502.diagnosis.listening import frozen
from why502.diagnosis.peers import called_down
from why502.diagnosis.preface import unmet
from why502.diagnosis.ranking import ranked
from why502.diagnosis.routed import Vantage
from why502.diagnosis.serving import serving
from why502.diagnosis.settling import settle
from why502.diagnosis.takers import taker
from why502.diagnosis.unserved import refusing, unserved
from why502.diagnosis.weighing import Weighed, confidence_of, weigh_link, weigh_symptoms
from why502.model.finding import ASSERTED, Check, CheckStatus, Diagnosis, Finding, Verdict
from why502.model.logs import LogFile, Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target

TARGETS = 256  # the most that are examined; a person reads fewer
CONSIDERED = 0.05  # below this a cause is not even mentioned


def diagnose(*snapshots: Snapshot, offline: bool = False) -> Diagnosis:
    """Return the diagnosis of one machine, or of several together (the first is the proxy's).

    A pure function: the same snapshots give the same answer.
    """
    here, others = _order(snapshots)
    here = without_hurried(addressed(here))
    gaps: list[Gap] = [gap for snapshot in snapshots for gap in snapshot.gaps]
    weighed: list[Weighed] = []
    index = Joins(here)
    doubtful = _doubtful(here, index)
    if len(doubtful) > TARGETS:
        gaps.append(
            Gap(
                source="diagnosis",
                reason=f"{len(doubtful) - TARGETS} more targets fail and were not examined",
                hint="diagnose one proxy at a time with --config",
            )
        )

    def examined(targets: Iterable[Target | None]) -> list[Finding]:
        for target in targets:
            case = Case(here=here, vantages=_vantages(target, others), target=target, offline=offline, index=index)
            for each, causes in _by_group(case):
                weighed.extend(_examine(each, causes, gaps))
        return [finding_of(each) for each in settle(weighed)]

    made = examined((*doubtful[:TARGETS], None))
    # A fault that no client notices is worth a finding only if nothing else is wrong.
    if index.made_good and not any(finding.confidence >= ASSERTED for finding in made):
        made = examined(sorted(index.made_good))
    failed = {(finding.cause, finding.target) for finding in made if finding.failures}
    made = [finding for finding in made if not _is_of_same_name(finding, failed, index)]
    findings = ranked(made, here)
    logs, checks = here.logs, check_all(here, offline=offline, index=index)
    explained = {finding.target for finding in findings if finding.confidence >= ASSERTED}
    failures = index.alarms
    unexplained = [tally for tally in failures if tally.target not in explained]
    asserted = [finding for finding in findings if finding.confidence >= ASSERTED]
    unnoticed = [
        msgspec.structs.replace(finding, failures=0, statuses=()) for finding in asserted if finding.target in index.made_good
    ]
    if len(unnoticed) < len(asserted):
        verdict = Verdict.PROBLEM
    elif (
        unexplained
        or logs is None
        or (serving(here) and not any(tally.proxy for tally in logs.tallies) and not logs.requests)  # nothing is known
        or (not logs.requests and any(gap.section == "access log" for gap in here.gaps))  # what clients got is unknown
        or (offline and any(map(_is_unread, logs.files)))
        or any(check.status in (CheckStatus.FAIL, CheckStatus.WARN) and not _is_made_up_for(check, here) for check in checks)
    ):
        verdict = Verdict.UNKNOWN
    else:
        verdict, findings = Verdict.HEALTHY, unnoticed
    return Diagnosis(
        taken_at=here.taken_at,
        since=here.since,
        until=here.until,
        verdict=verdict,
        findings=tuple(findings),
        checks=checks,
        gaps=tuple(dict.fromkeys(gaps)),
        requests=logs.requests if logs else 0,
        by_status=logs.by_status if logs else {},
        failures=sum(tally.count for tally in failures),
        hosts=tuple(snapshot.host for snapshot in snapshots if snapshot.host),
    )


def _is_of_same_name(finding: Finding, failed: Collection[tuple[str, Target | None]], index: Joins) -> bool:
    """Return whether a finding without failures only repeats that of another address of the same name, where requests failed."""
    if finding.failures or finding.target is None:
        return False
    others = index.addresses_beside.get(finding.target, frozenset())
    return any((finding.cause, other) in failed for other in others)


def _is_made_up_for(check: Check, here: Snapshot) -> bool:
    """Return whether a warning is only about an unreadable access log. The gateway's other logs must have been read, and our
    requests must succeed.
    """
    if check.id != "logs-readable" or here.logs is None or not here.logs.requests:
        return False
    unread = {file.path for file in here.logs.files if file.reason}
    read = [file.path for file in here.logs.files if not file.reason]
    owners = [proxy for proxy in here.proxies or () for log in proxy.logs if any(path.endswith(log.path) for path in unread)]
    has_another = all(any(_is_of(proxy, path) for path in read) for proxy in owners)
    return bool(unread) and bool(owners) and has_another and any(probe.is_answer for probe in here.probes or ())


def _is_of(proxy: Proxy, path: str) -> bool:
    """Return whether a log belongs to a gateway: a file that it names, or the journal of its unit."""
    own = any(log.path and path.endswith(log.path) for log in proxy.logs)
    return own or path == f"journalctl -u {proxy.unit or f'{proxy.kind}.service'}"


def _is_unread(file: LogFile) -> bool:
    """Return whether a log has lines and none could be read: they may report failures."""
    return 0 < file.lines == file.unread


def _order(snapshots: tuple[Snapshot, ...]) -> tuple[Snapshot, tuple[Snapshot, ...]]:
    """Return the snapshot of the proxy's machine (the first that has failures, a proxy or logs), and the others."""
    here = next((s for s in snapshots if s.proxies and s.logs and s.logs.tallies), None) or next(
        (s for s in snapshots if s.proxies), next((s for s in snapshots if s.logs), snapshots[0])
    )
    return here, tuple(snapshot for snapshot in snapshots if snapshot is not here)


def _doubtful(here: Snapshot, index: Joins) -> tuple[Target, ...]:
    """Return the targets with a problem in the logs, in a probe or among the listeners; most logged failures first."""
    counts: Counter[Target] = Counter()
    spares = index.idle_spares
    for tally in here.logs.tallies if here.logs else ():
        if tally.target is not None and tally.target not in spares:
            counts[tally.target] += tally.count
    logged = (target for target, _ in counts.most_common())
    probed = (
        probe.target
        for probe in here.probes or ()
        if probe.symptom is not None and not probe.through_proxy and probe.target not in spares
    )
    answered = (
        target
        for one in unserved(index)
        if one.is_of_application or one.is_of_backend_limit or one.is_of_upgrade or one.is_of_refusal or one.is_of_denial
        for target in ((one.target,) if one.target is not None else one.sharing)
    )
    known = (
        *_filled(here, index),
        *index.targets_without_listener,
        *frozen(here),
        *all_paused(index),
        *index.refused_upgrades,
        *answered,
        *sorted(refusing(index)),
    )
    return tuple(dict.fromkeys((*logged, *probed, *known, *unmet(index), *called_down(here))))


def _filled(here: Snapshot, index: Joins) -> Iterator[Target]:
    """Yield the backends of failed requests of which only the status is known, if a program reports a full disk."""
    if not any(event.symptom is Symptom.DISK_FULL for event in here.events or ()):
        return
    for tally in here.logs.tallies if here.logs else ():
        for request, _ in tally.requests if tally.symptom is Symptom.GATEWAY_STATUS and tally.target is None else ():
            if (target := taker(index, request, tally.server)) is not None:
                yield target


def _vantages(target: Target | None, others: tuple[Snapshot, ...]) -> tuple[Vantage, ...]:
    """Return the examined machines and containers that have the target's address, besides the proxy's own machine."""
    if target is None or target.is_unix:
        return ()
    return tuple(Vantage(snapshot) for snapshot in others if target.host in (snapshot.addresses or ()))


def _by_group(case: Case) -> Iterator[tuple[Case, list[Cause]]]:
    """Yield the case with the causes to examine. If failures without a target belong to several configured groups, a cause that
    concerns a group is examined for each of them.
    """
    named = [tally.group for tally in case.failures if tally.group in case.joins.groups] if case.target is None else []
    groups = list(dict.fromkeys(named))[:TARGETS]
    if len(groups) < 2:
        yield case, list(CAUSES.values())
        return
    yield case, [cause for cause in CAUSES.values() if not cause.sums_members]
    for group in groups:
        yield replace(case, only_group=group), [cause for cause in CAUSES.values() if cause.sums_members]


def _examine(case: Case, causes: Iterable[Cause], gaps: list[Gap]) -> Iterator[Weighed]:
    """Yield those of the causes that have evidence for them."""
    for cause in causes:
        try:
            seen = tuple(cause.examine(case))
            evidence = (*weigh_symptoms(cause, case), *seen)
            doubt = tuple(weigh_link(cause, case, sum(item.weight for item in evidence)))
        except Exception as error:  # our own defect: one cause is skipped, the others still answer
            gaps.append(Gap(source=f"cause {cause.id}", reason=f"internal error: {type(error).__name__}: {error}"))
            continue
        if not any(item.weight > 0 for item in evidence):
            continue
        evidence = (*evidence, *doubt)
        confidence = confidence_of(sum(item.weight for item in evidence))
        if confidence >= CONSIDERED:
            yield Weighed(cause, case, seen, evidence, confidence, is_by_link=bool(doubt))
