"""diagnose(): examines every target for every cause, weighs the evidence, attributes effects to their causes,
and ranks the remaining findings.

Weights are log-odds. A cause starts from PRIOR. The engine adds the weights of its symptoms and of its examination; the
logistic value of the sum is the confidence. No cause states a confidence of its own, so causes are comparable, and every
answer shows its sum.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from why502.diagnosis import siblings
from why502.diagnosis.addressed import addressed
from why502.diagnosis.attribution import DEATHS, GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes import CAUSES, EXPLAINED_BY, OUTRANKED_BY, section
from why502.diagnosis.causes import weight as weight_of
from why502.diagnosis.checks import check_all
from why502.diagnosis.index import (
    FAILED,
    Joins,
    addresses,
    frozen,
    is_impatience,
    serving,
)
from why502.diagnosis.notes import notes
from why502.diagnosis.peers import OUT, called_down, contradictions, described, views_of
from why502.diagnosis.place import BROKEN, Vantage
from why502.diagnosis.preface import unmet
from why502.diagnosis.unserved import refusing, unserved
from why502.model.finding import (
    ASSERTED,
    FAIR,
    LIKELY,
    PRIOR,
    STRONG,
    WEAK,
    Check,
    CheckStatus,
    Diagnosis,
    Evidence,
    Finding,
    Layer,
    Place,
    Verdict,
    refutes,
    supports,
)
from why502.model.logs import NOTICES, LogFile, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.snapshot import SERVER_ERROR, ConfigTest, Event, Gap, Probe, Proxy, Snapshot
from why502.model.target import Target
from why502.model.words import words

TARGETS = 256  # the most that are examined; a person reads fewer
CERTAIN = 0.99  # the highest confidence of any answer
CONSIDERED = 0.05  # below this a cause is not even mentioned
YIELDED = -1.5  # log-odds of a cause that is only the effect of another one: about 18 %
MARGIN = 0.3  # an effect is attributed to its cause unless its confidence is higher by more than this
SURE = 0.9  # confidence from which the reason of each server's failure counts as known
UNSEEN = 2.8  # log-odds beyond the prior that remain if a needed collector timed out: just below an assertion
MENTIONED = 3  # of the causes that cannot be ruled out
LONG = 120  # characters of evidence in a sentence
_FROM_THE_PROXY = frozenset({"names", "probes"})  # sections that cover any target; the others cover only their own machine
_OF_CONTAINERS = frozenset({"containers", "networks"})  # sections that matter only where there are containers
_PUBLISHERS = frozenset({"docker-proxy", "rootlessport", "rootlesskit"})  # hold the published ports of containers
SECOND = timedelta(seconds=1)  # logs do not show fractions of it
READY = timedelta(
    seconds=2
)  # between the start of a process and the first line of a log that it answers; log times are whole seconds
LATER = timedelta(seconds=3)  # after the end of a gap: a later failure has another cause
RECENT = timedelta(seconds=60)  # a failure this short before the collection counts as ongoing unless something shows the opposite


def diagnose(*snapshots: Snapshot, offline: bool = False) -> Diagnosis:
    """Return the diagnosis of one machine, or of several together (the first is the proxy's).

    A pure function: the same snapshots give the same answer.
    """
    here, others = _order(snapshots)
    here = addressed(here)
    gaps: list[Gap] = [gap for snapshot in snapshots for gap in snapshot.gaps]
    weighed: list[_Weighed] = []
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
            weighed.extend(_examine(case, gaps))
        return [_finding(each) for each in _settle(weighed)]

    made = examined((*doubtful[:TARGETS], None))
    # A fault that no client notices is worth a finding only if nothing else is wrong.
    if index.made_good and not any(finding.confidence >= ASSERTED for finding in made):
        made = examined(sorted(index.made_good))
    latest = _latest(made)
    findings = sorted(
        made,
        key=lambda finding: _rank(
            finding,
            is_sum=_is_sum(finding, made, here),
            is_unfelt=_is_unfelt(finding, here),
            latest=latest.get(finding.target),
        ),
    )
    logs, checks = here.logs, check_all(here, offline=offline, index=index)
    explained = {finding.target for finding in findings if finding.confidence >= ASSERTED}
    failures = index.alarms
    unexplained = [tally for tally in failures if tally.target not in explained]
    if any(finding.confidence >= ASSERTED for finding in findings):
        verdict = Verdict.PROBLEM
    elif (
        unexplained
        or logs is None
        or (serving(here) and not any(tally.proxy for tally in logs.tallies) and not logs.requests)  # nothing is known about it
        or (offline and any(map(_is_unread, logs.files)))
        or any(check.status in (CheckStatus.FAIL, CheckStatus.WARN) and not _is_made_up_for(check, here) for check in checks)
    ):
        verdict = Verdict.UNKNOWN
    else:
        verdict, findings = Verdict.HEALTHY, []
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


def _is_made_up_for(check: Check, here: Snapshot) -> bool:
    """Return whether a warning is only about an unreadable access log. The gateway's other logs must have been read, and our
    requests must succeed.
    """
    if check.id != "logs-readable" or here.logs is None or not here.logs.requests:
        return False
    unread = {file.path for file in here.logs.files if file.reason}
    read = [file.path for file in here.logs.files if not file.reason]
    owners = [proxy for proxy in here.proxies or () for log in proxy.logs if any(path.endswith(log.path) for path in unread)]
    is_told = all(any(_is_of(proxy, path) for path in read) for proxy in owners)
    return bool(unread) and bool(owners) and is_told and any(probe.is_answer for probe in here.probes or ())


def _is_of(proxy: Proxy, path: str) -> bool:
    """Return whether a log belongs to a gateway: a file that it names, or the journal of its unit."""
    own = any(log.path and path.endswith(log.path) for log in proxy.logs)
    return own or path == f"journalctl -u {proxy.unit or f'{proxy.kind}.service'}"


def _is_unread(file: LogFile) -> bool:
    """Return whether a log has lines and none could be read: they may report failures."""
    return 0 < file.lines == file.unread


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One cause on one target, weighed. `heirs`: the causes attributed to it; their symptoms count as its own."""

    cause: Cause
    case: Case
    seen: tuple[Evidence, ...]  # from the examination
    evidence: tuple[Evidence, ...]  # all of it
    confidence: float
    heirs: frozenset[str] = frozenset()


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
        one.target for one in unserved(index) if one.target is not None and (one.is_of_application or one.is_of_backend_limit)
    )
    known = (*index.unheard, *frozen(here), *index.refused_upgrades, *answered, *sorted(refusing(index)))
    return tuple(dict.fromkeys((*logged, *probed, *known, *unmet(index), *called_down(here))))


def _vantages(target: Target | None, others: tuple[Snapshot, ...]) -> tuple[Vantage, ...]:
    """Return the examined machines and containers that have the target's address, besides the proxy's own machine."""
    if target is None or target.is_unix:
        return ()
    return tuple(Vantage(snapshot) for snapshot in others if target.host in (snapshot.addresses or ()))


def _examine(case: Case, gaps: list[Gap]) -> Iterator[_Weighed]:
    """Yield every cause that has evidence for it."""
    for cause in CAUSES.values():
        try:
            seen = tuple(cause.examine(case))
            evidence = (*weigh_symptoms(cause, case), *seen)
        except Exception as error:  # our own defect: one cause is skipped, the others still answer
            gaps.append(Gap(source=f"cause {cause.id}", reason=f"internal error: {type(error).__name__}: {error}"))
            continue
        if not any(item.weight > 0 for item in evidence):
            continue
        confidence = sure(sum(item.weight for item in evidence))
        if confidence >= CONSIDERED:
            yield _Weighed(cause, case, seen, evidence, confidence)


def weigh_symptoms(cause: Cause, case: Case) -> Iterator[Evidence]:
    """Yield the evidence of logs and probes for a cause's symptoms on the target, each symptom once."""
    best: Evidence | None = None
    named = [tally.symptom for tally in case.tallies if tally.named == cause.id]
    for symptom in dict.fromkeys((*cause.symptoms, *named)):
        if symptom in NOTICES and not case.explains_notices:
            continue
        tally, probe = case.tally(symptom), case.probe(symptom)
        weight = weight_of(cause.id, symptom, tally.named if tally else "")
        if tally is not None and tally.is_notice and not case.explains_notices and not case.has_failed:
            continue
        if tally is None and any(failure.symptom is not Symptom.GATEWAY_STATUS for failure in case.failures):
            weight *= 0.5  # the log shows other failures than our own request gets
        if tally is not None:
            found = supports(count(tally), tally.source, weight)
        elif probe is not None:
            found = supports(_probed(probe.symptom, probe.detail), "probe" if probe.at else "ss -ltnx", weight)
        else:
            continue
        if tally is not None and probe is not None and probe.at and weight >= FAIR:
            yield supports("a probe gets the same result now: " + _probed(probe.symptom, probe.detail), "probe", WEAK)
        if best is None or found.weight > best.weight:
            best = found
    if best is not None:
        yield best


def count(tally: Tally) -> str:
    """Return a tally in words: count, symptom, time, status."""
    what = words(tally.symptom)
    times = "once" if tally.count == 1 else f"{tally.count} times"
    status = f", answered {tally.status:03d}" if tally.status is not None else ""
    detail = f" ({tally.detail})" if tally.detail else ""
    return f"{what} {times}{status}{detail}"


def _probed(symptom: Symptom | None, detail: str) -> str:
    what = words(symptom) if symptom else ""
    return f"{what} ({detail})" if detail and detail.lower() != what else what


def sure(weight: float) -> float:
    """Return the confidence for a sum of weights, at most CERTAIN."""
    return min(CERTAIN, 1 / (1 + math.exp(-(PRIOR + weight))))


def _finding(weighed: _Weighed) -> Finding:
    cause, case, confidence = weighed.cause, weighed.case, weighed.confidence
    names = {cause.id, *weighed.heirs}
    own = {symptom for name in names for symptom in CAUSES[name].symptoms}
    told = [tally for tally in case.tallies if tally.proxy is not None and tally.symptom not in NOTICES]
    tallies = [tally for tally in told if tally.symptom in own or tally.named in names]
    is_met = any(probe.symptom in cause.symptoms and probe.symptom not in GAP for probe in case.probes)
    is_met |= not tallies and any(item.weight >= STRONG and item.source.startswith("probe") for item in weighed.seen)
    if not tallies and (case.target is not None or _group(case, list(case.failures))):
        tallies = list(case.failures) or told
    last = max((t.last for t in tallies if t.last), default=None)
    route, proxy = case.route, case.proxy
    product = proxy.kind if proxy else next((t.proxy for t in tallies if t.proxy), None)
    return Finding(
        cause=cause.id,
        layer=cause.layer,
        confidence=confidence,
        message=_sentence(cause, case, weighed.seen),
        target=case.target or _named(case, tallies) or _aimed(cause, case),
        group=_group(case, tallies),
        proxy=product,
        place=Place(server=route.server, location=route.location, at=route.at or route.location_at)
        if route and case.target is not None
        else None,
        statuses=tuple(sorted({t.status for t in tallies if t.status is not None})),
        failures=sum(t.count for t in tallies),
        first_seen=min((t.first for t in tallies if t.first), default=None),
        last_seen=last,
        ongoing=is_met
        or (cause.is_of_answers and _errs_still(case))
        or _says_so(cause, case, last)
        or _goes_on(case, [tally for tally in told if tally.symptom in cause.symptoms], last),
        evidence=(
            *sorted(weighed.evidence, key=lambda item: -item.weight),
            *_noted(weighed),
            *_run_by(proxy),
            *_managed_by(case),
            *_called_by_its_gateway(case),
        ),
        remedies=_remedies(cause, case) if confidence >= ASSERTED else (),
    )


_OF_NAMES = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED})


def _named(case: Case, tallies: list[Tally]) -> Target | None:
    """Return the configured name, with its port, that every failure of a finding failed to resolve; None if there is none."""
    if not tallies or any(tally.symptom not in _OF_NAMES or tally.target is not None for tally in tallies):
        return None
    said = {tally.detail.partition(":")[0].lower() for tally in tallies}
    names = {name for name in said if name and not Target(host=name, port=1).is_address}  # exclude the name server's own address
    if len(names) != 1:
        return None
    name = names.pop()
    peers = [peer for route in case.routes for peer in route.peers]
    found = {peer.target for peer in peers if peer.target and not peer.target.is_address and peer.target.host.lower() == name}
    found = found or {target for peer in peers if (target := _filled(peer.name, name))}
    return found.pop() if len(found) == 1 else None


_VARIABLE = lazy(r"\$\{?\w{1,64}\}?")


def _filled(written: str, name: str) -> Target | None:
    """Return the name with its port if the configured text, which contains variables, can expand to it; else None."""
    host, _, port = written.rpartition(":") if re.search(r":\d{1,5}$", written) else (written, "", "0")
    parts = _VARIABLE.split(host.lower())
    is_it = len(parts) > 1 and any(parts) and name.startswith(parts[0]) and name.endswith(parts[-1])
    is_it = is_it and all(part in name for part in parts)
    return Target(host=name, port=int(port)) if is_it else None


def _aimed(cause: Cause, case: Case) -> Target | None:
    """Return the target that the cause itself knows for failures whose log names none."""
    try:
        return cause.aim(case)
    except Exception:  # a target that we cannot determine must not break the diagnosis
        return None


def _group(case: Case, tallies: list[Tally]) -> str:
    """Return the name of the configured group that all of a finding's failures belong to; "" if the target is known, or there
    are several groups.
    """
    names = {tally.group for tally in tallies} if case.target is None else set()
    return next(iter(names)) if len(names) == 1 and names <= case.joins.groups.keys() else ""


def _noted(weighed: _Weighed) -> tuple[Evidence, ...]:
    """Return further facts from the time of the failures, besides the evidence of an asserted cause."""
    return tuple(notes(weighed.case, weighed.evidence)) if weighed.confidence >= ASSERTED else ()


def _run_by(proxy: Proxy | None) -> tuple[Evidence, ...]:
    """Return who runs a gateway that is not root's: any user can run a gateway and make it fail."""
    if proxy is None or not proxy.owner_uid:
        return ()
    name = proxy.user if proxy.user and not proxy.user.isdecimal() else str(proxy.owner_uid)
    message = f"user {name} runs this {proxy.kind}, not root"
    return (Evidence(message=message, weight=0.0, source=f"/proc/{proxy.pid}/status" if proxy.pid else proxy.config),)


def _called_by_its_gateway(case: Case) -> Iterator[Evidence]:
    """Yield what its gateway's admin interface says about the target, if that is out of use or contradicts our own probe."""
    for proxy, view in views_of(case.here, case.target):
        told = list(contradictions(proxy, view, case.probes))
        if view.state in OUT and not told:
            told.append(described(proxy, view))
        for message in told:
            yield Evidence(message=message, weight=0.0, source=view.source)


def _managed_by(case: Case) -> Iterator[Evidence]:
    """Yield the user whose service manager reported a service, if it is not root's: any user can run one."""
    for service in case.services:
        if service.owner_uid:
            message = f"user {service.owner_uid}, not root, runs the {service.manager} that speaks of {service.name}"
            yield Evidence(message=message, weight=0.0, source=service.manager)


def _sentence(cause: Cause, case: Case, seen: tuple[Evidence, ...]) -> str:
    """Return the finding in one sentence: the cause's own, concrete sentence if it has one, else with its best evidence."""
    try:
        told = cause.tell(case)
    except Exception:  # a sentence that we cannot write must not break the diagnosis
        told = ""
    if told:
        return told
    best = max((item for item in seen if item.weight >= STRONG), key=lambda item: item.weight, default=None)
    if case.target is None:
        message = cause.message
    elif cause.headline:
        message = cause.headline.format(target=case.target, proxy=case.proxy.kind if case.proxy else "the proxy")
    else:
        message = f"{case.target}: {cause.message}"
    return f"{message}: {_short(best.message)}" if best else message


def _short(text: str) -> str:
    """Return the start of a long text from another program; the evidence holds all of it."""
    return text if len(text) <= LONG else text[:LONG].rpartition(" ")[0].rstrip(",:; ") + "…"


def _remedies(cause: Cause, case: Case) -> tuple[Remedy, ...]:
    """Return the cause's remedies for this case, else the advice of its page."""
    try:
        found = siblings.remedies(cause, case)
    except Exception:  # a remedy that we cannot write must not break the diagnosis
        found = ()
    return found or tuple(Remedy(message=advice) for advice in section(cause.id, "Fix"))


def _is_left_behind(case: Case, last: datetime) -> bool:
    """Return whether the proxy has since loaded a configuration that no longer names the target."""
    running = [proxy for proxy in case.proxies if proxy.is_running]
    if case.target is None or case.is_named or not running or any(proxy.test is ConfigTest.FAILED for proxy in running):
        return False
    return all(proxy.loaded_at is not None and proxy.loaded_at > last + SECOND for proxy in running)


def _says_so(cause: Cause, case: Case, last: datetime | None) -> bool:
    """Return whether the target's own recent messages report the cause: repeatedly after the last failure that the proxy logged,
    or while requests still failed.

    If requests for one path kill the worker, a probe of another path cannot show that.
    """
    words = [symptom for symptom, weight in cause.symptoms.items() if weight >= LIKELY and symptom not in GAP]
    told = case.events(*words) if words and case.target is not None and not case.offline else ()
    since = max((event.ended_at for event in told if event.ended_at), default=None)
    if since is None or since < case.here.taken_at - RECENT:
        return False
    if any(tally.last and tally.last >= since for tally in case.tallies if tally.symptom in _effects(cause)):
        return True
    return any(event.count > 1 and event.ended_at == since and (last is None or since > last) for event in told)


def _effects(cause: Cause) -> frozenset[Symptom]:
    """Return the symptoms that a cause shows at a proxy: its own, and the usual ones of causes that are only its effect;
    symptoms of restarts are excluded.
    """
    effects = (CAUSES[name] for name in cause.explains)
    usual = {symptom for other in effects for symptom, weight in other.symptoms.items() if weight >= LIKELY}
    return frozenset({*cause.symptoms, *usual} - {*GAP, *NOTICES})


def _errs_still(case: Case) -> bool:
    """Return whether the access log shows the application's own errors until shortly before the collection."""
    own = (one for one in unserved(case.joins) if one.is_of_application and one.target == case.target)
    return any(one.last is not None and one.last >= case.here.taken_at - RECENT for one in own)


def _goes_on(case: Case, tallies: list[Tally], last: datetime | None) -> bool:
    """Return whether the failures are ongoing: by the probe if there was one, else by the last lines of the logs."""
    if last is not None and (_is_left_behind(case, last) or _is_gap(case, tallies)):
        return False
    if case.answers_now is False or any(_fails(probe, tallies) for probe in case.entrances):
        return True
    if any(probe.repeats and probe.symptom is None for probe in (*case.probes, *case.entrances)):
        return False
    if last is None:
        return True
    traffic = case.traffic
    if (
        traffic
        and traffic.last_success
        and traffic.last_success > last
        and (not _is_of_one_path(case) or _is_served_since(case, last))
    ):
        return False
    if _came_back(case, last):
        return False
    return last >= case.here.taken_at - RECENT


def _fails(probe: Probe, tallies: list[Tally]) -> bool:
    """Return whether our request through the proxy failed; the application's own answer is not a broken connection."""
    if tallies and all(tally.symptom in GAP for tally in tallies):
        return probe.symptom is not None or str(probe.status) in FAILED
    return probe.symptom is not None or (probe.status or 0) >= SERVER_ERROR


def _is_gap(case: Case, tallies: list[Tally]) -> bool:
    """Return whether all failures ended when the current listener began to listen: the gap of a restart.

    A failure that our probe gets after that is another fault.
    """
    born, first = case.born, min((tally.first for tally in tallies if tally.first and tally.last), default=None)
    if not case.listeners or born is None or first is None or case.probe(*GAP):
        return False
    return (
        # Within the second of the restart the order is unknown, unless the service manager logged when it ordered the stop.
        (first + SECOND <= born or any(stop.at and stop.at <= first + SECOND for stop in case.restarts))
        and all(tally.last <= born + (SECOND if tally.symptom in BROKEN else READY) for tally in tallies if tally.last)
        and all(tally.symptom in GAP for tally in tallies)
        and all(
            case.is_of_a_name(event) or (event.at is not None and event.at > born + READY) or _is_of_the_stop(case, event, born)
            for event in case.events(*DEATHS, Symptom.PROCESS_EXITED)
        )
    )


def _is_of_the_stop(case: Case, end: Event, born: datetime) -> bool:
    """Return whether a process ended after the order to stop it, and before the current listener began: some programs exit with
    an error then.
    """
    is_asked = any(stop.at and end.at and stop.at <= end.at for stop in case.restarts)
    return is_asked and end.ended_at is not None and end.ended_at <= born + SECOND


def _is_of_one_path(case: Case) -> bool:
    """Return whether all failed requests asked for one path, other than the start page.
    Successes on other paths say nothing about it.
    """
    paths = {request.partition(" ")[2] for tally in case.failures for request, _ in tally.requests}
    return len(paths) == 1 and not paths & {"", "/"}


def _is_served_since(case: Case, last: datetime) -> bool:
    """Return whether the access log shows the same requests answered after the last failure."""
    failed = {request for tally in case.failures for request, _ in tally.requests}
    paths = case.here.logs.paths if case.here.logs else ()
    return any(path.request in failed and path.last_served is not None and path.last_served > last for path in paths)


def _came_back(case: Case, last: datetime) -> bool:
    """Return whether all failures were refused connections, and the process that listens now started after them."""
    if not case.listeners or any(tally.symptom is not Symptom.CONNECT_REFUSED for tally in case.failures):
        return False
    begun = [process.started_at for listener in case.listeners if (process := case.process_of(listener))]
    return bool(begun) and all(at is not None and at > last + SECOND for at in begun)


def _settle(weighed: list[_Weighed]) -> list[_Weighed]:
    """Return the causes; one that is only the effect of an asserted cause, on the same target or on none, is lowered."""
    asserted = {(w.cause.id, w.case.target): w.confidence for w in weighed if w.confidence >= ASSERTED}
    heirs: dict[tuple[str, Target | None], set[str]] = {}
    result = []
    for w in weighed:
        target = w.case.target
        if target is None and any(cause == w.cause.id and other is not None for cause, other in asserted):
            continue  # already reported on the affected target
        if lower := _of_inner(w, asserted) or _of_members(w, asserted):
            result.append(lower)
            continue
        reasons = [
            (cause, where)
            for cause in sorted(EXPLAINED_BY[w.cause.id] | OUTRANKED_BY[w.cause.id])
            for where in dict.fromkeys((target, None))
            if where == target or w.case.offline or not CAUSES[cause].stands_apart or not w.case.is_named
            if asserted.get((cause, where), 0) >= max(w.confidence - MARGIN, ASSERTED)
        ]
        for reason in reasons:
            heirs.setdefault(reason, set()).add(w.cause.id)
        if reasons and w.confidence >= ASSERTED:
            names = list(dict.fromkeys(cause for cause, _ in reasons))
            same = f"{' and '.join(names)}, which {'look' if names[1:] else 'looks'} the same from the proxy"
            note = Evidence(message=f"explained by {same}", weight=YIELDED - WEAK)
            lowered = 1 / (1 + math.exp(-YIELDED))
            result.append(replace(w, confidence=lowered, evidence=(*w.evidence, note)))
        else:
            result.append(_doubted(w))
    return [replace(w, heirs=frozenset(heirs.get((w.cause.id, w.case.target), ()))) for w in result]


def _of_inner(weighed: _Weighed, asserted: dict[tuple[str, Target | None], float]) -> _Weighed | None:
    """Return the cause lowered if the target is itself a gateway and a cause is asserted for an address behind it; else None."""
    if weighed.confidence < ASSERTED or weighed.cause.layer is not Layer.UPSTREAM:  # others concern the path to the gateway
        return None
    behind, gateway = weighed.case.behind_inner, weighed.case.inner_gateway
    if gateway is None or not behind:
        return None
    found = [(sure, cause, where) for (cause, where), sure in asserted.items() if where in behind]
    if not found:
        return None
    _, cause, where = max(found, key=lambda each: (each[0], each[1], str(each[2])))
    message = (
        f"{gateway.name} (pid {gateway.pid}) on {weighed.case.target} is itself a gateway: this is the effect of {cause} on "
        f"{where} behind it"
    )
    note = Evidence(message=message, weight=YIELDED - WEAK, source="ss -ltnp")
    return replace(weighed, confidence=1 / (1 + math.exp(-YIELDED)), evidence=(*weighed.evidence, note))


def _of_members(weighed: _Weighed, asserted: dict[tuple[str, Target | None], float]) -> _Weighed | None:
    """Return the cause lowered if each member of the group has the same cause, and it lies outside the members; else None."""
    group = weighed.case.empty_group
    if not weighed.cause.sums_members or weighed.confidence < ASSERTED:
        return None
    if group is not None:
        members = {target for peer in group.peers if not peer.is_down for target in addresses(peer, weighed.case.here)}
    else:
        members = _checked_out(weighed.case)
    least = max(weighed.confidence - MARGIN, ASSERTED)
    held: dict[str, set[Target | None]] = {}
    for (cause, where), confidence in asserted.items():
        if where in members and confidence >= least and CAUSES[cause].layer is not Layer.UPSTREAM:
            held.setdefault(cause, set()).add(where)
    same = sorted(cause for cause, places in held.items() if places == members)
    if not same or not members:
        return None
    name = group.name if group is not None else "the group"
    note = Evidence(message=f"each server of {name} has its own {same[0]}", weight=YIELDED - WEAK)
    return replace(weighed, confidence=1 / (1 + math.exp(-YIELDED)), evidence=(*weighed.evidence, note))


def _checked_out(case: Case) -> set[Target]:
    """Return the targets whose health checks got an unexpected answer, from the gateway that had no server left."""
    empty = case.tally(Symptom.NO_LIVE_UPSTREAMS) if case.target is None else None
    logs = case.here.logs
    if empty is None or logs is None:
        return set()
    told = (tally for tally in logs.tallies if tally.symptom is Symptom.HEALTH_CHECK_STATUS and tally.proxy == empty.proxy)
    return {tally.target for tally in told if tally.target is not None}


def _doubted(weighed: _Weighed) -> _Weighed:
    """Return the cause with LIKELY as its highest confidence if a cause that would explain it could not be checked,
    because the data it needs was not collected.
    """
    cause, case = weighed.cause, weighed.case
    late = _late(case)
    needed = {part for id_ in (cause.id, *EXPLAINED_BY[cause.id]) for part in CAUSES[id_].needs}
    if late & needed:
        excess = sum(item.weight for item in weighed.evidence) - UNSEEN
        if excess <= 0:
            return weighed
        note = refutes(f"{', '.join(sorted(late & needed))} timed out, so another cause is possible", weight=excess)
        return replace(weighed, confidence=sure(UNSEEN), evidence=(*weighed.evidence, note))
    excess = sum(item.weight for item in weighed.evidence) - LIKELY
    if case.offline or excess <= 0 or (case.host is None and cause.layer is not Layer.UPSTREAM):
        return weighed
    hidden = [id_ for id_ in sorted(EXPLAINED_BY[cause.id]) if any(_is_hidden(part, case) for part in CAUSES[id_].needs)]
    if not hidden:
        return weighed
    named = ", ".join(hidden[:MENTIONED]) + (f" and {len(hidden) - MENTIONED} more" if hidden[MENTIONED:] else "")
    place = "this machine could not be examined in full" if case.host else f"the machine of {case.target} was not examined"
    note = refutes(f"{place}: {named} cannot be ruled out", weight=excess)
    return replace(weighed, confidence=sure(LIKELY), evidence=(*weighed.evidence, note))


def _late(case: Case) -> set[str]:
    """Return the sections of the machines that are missing because their source timed out."""
    return {
        gap.section for each in case.machines for gap in each.gaps if gap.section and getattr(each, gap.section, None) is None
    }


def _is_hidden(part: str, case: Case) -> bool:
    """Return whether a section of the snapshot is missing; for `processes`, also if the target's own are unknown."""
    machine = case.here if part in _FROM_THE_PROXY else case.host
    if part in _OF_CONTAINERS and machine is not None and not _has_containers(machine):
        return False
    looked = getattr(machine, part, None)
    return looked is None or (part == "processes" and bool(case.listeners) and not case.processes)


def _has_containers(machine: Snapshot) -> bool:
    """Return whether anything that was seen of a machine is in a container or another network, or belongs to an engine."""
    return (
        any(process.container or process.network or process.name in _PUBLISHERS for process in machine.processes or ())
        or any(listener.network for listener in machine.listeners or ())
        or any(proxy.network for proxy in machine.proxies or ())
    )


def _is_sum(finding: Finding, findings: list[Finding], here: Snapshot) -> bool:
    """Return whether a finding about a group only repeats findings of one cause about each of its servers."""
    if not CAUSES[finding.cause].sums_members or not finding.group or finding.confidence < ASSERTED:
        return False
    groups = [group for proxy in here.proxies or () for group in proxy.upstreams if group.name == finding.group]
    members = {target for group in groups for peer in group.peers if not peer.is_down for target in addresses(peer, here)}
    alive = {probe.target for probe in here.probes or () if probe.has_recovered and not probe.through_proxy}
    is_marked = bool(members & alive) and any(probe.symptom for probe in here.probes or () if probe.through_proxy)
    least = SURE if is_marked else ASSERTED  # recovered servers that the proxy still marks as down are a separate fault
    hurt: dict[str, set[Target | None]] = {}
    for other in findings:
        if other.confidence >= least and other.target in members:
            hurt.setdefault(other.cause, set()).add(other.target)
    return bool(members) and any(places == members for places in hurt.values())


def _latest(findings: list[Finding]) -> dict[Target | None, datetime]:
    """Return the time of the last explained failure of each target."""
    found: dict[Target | None, datetime] = {}
    for finding in findings:
        if finding.confidence >= ASSERTED and finding.last_seen is not None:
            found[finding.target] = max(finding.last_seen, found.get(finding.target, finding.last_seen))
    return found


def _is_unfelt(finding: Finding, here: Snapshot) -> bool:
    """Return whether no client noticed the failures of a finding: few clients gave up, or another attempt succeeded."""
    found = here.logs.tallies if here.logs and finding.target is not None else ()
    tallies = [tally for tally in found if tally.target == finding.target and tally.is_failure]
    gave_up = [tally for tally in tallies if tally.symptom is Symptom.CLIENT_CLOSED]
    retried = [tally for tally in tallies if tally.hidden >= tally.count or _is_of_another_attempt(tally)]
    if not tallies or len(gave_up) + len(retried) < len(tallies) or (gave_up and not is_impatience(here, finding.target)):
        return False
    own = CAUSES[finding.cause].symptoms
    return not retried or any(tally.symptom in own for tally in retried)


def _is_of_another_attempt(tally: Tally) -> bool:
    """Return whether the client got another attempt's answer: no gateway sends a status below 502 for an unanswered attempt."""
    is_unanswered = tally.symptom in GAP and tally.symptom not in (Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
    return is_unanswered and tally.status is not None and f"{tally.status}" not in FAILED


def _rank(finding: Finding, *, is_sum: bool, is_unfelt: bool, latest: datetime | None) -> tuple[object, ...]:
    was_over = finding.last_seen is not None and latest is not None and finding.last_seen + LATER < latest
    return (
        finding.confidence < ASSERTED,
        is_sum,  # the cause on each server ranks before "no server left", also if each is up for a moment
        is_unfelt,  # if requests fail elsewhere, the user asks about those
        finding.confidence >= ASSERTED and not finding.ongoing,  # ongoing failures rank before resolved ones
        finding.confidence >= ASSERTED and not finding.ongoing and was_over,  # and the latest failures before earlier ones
        -round(min(finding.confidence, 0.95), 2),
        not finding.ongoing,
        -finding.failures,
        finding.cause,
        str(finding.target),
    )
