"""Ranking: the order of the findings, those that a person should read first at the top."""

from __future__ import annotations

from datetime import datetime, timedelta

from why502.diagnosis.alarms import is_impatience
from why502.diagnosis.attribution import GAP
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.listening import accepts
from why502.diagnosis.targets import addresses, behind
from why502.diagnosis.ways import FAILED
from why502.model.config import Route
from why502.model.finding import ASSERTED, Finding
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Snapshot
from why502.model.target import Target

SURE = 0.9  # confidence from which the reason of each server's failure counts as known
LATER = timedelta(seconds=3)  # after the end of a gap: a later failure has another cause


def ranked(findings: list[Finding], here: Snapshot) -> list[Finding]:
    """Return the findings in the order in which a person should read them."""
    latest, spares = _latest(findings), _spares(here)
    stated: dict[Target | None, list[Finding]] = {}
    for finding in findings:
        if finding.confidence >= ASSERTED and finding.failures:
            stated.setdefault(finding.target, []).append(finding)
    return sorted(
        findings,
        key=lambda finding: _rank(
            finding,
            is_sum=_is_sum(finding, findings, here),
            is_unfelt=_is_unfelt(finding, here),
            is_spare=_is_spare(finding, stated, spares),
            is_unasked=_is_unasked(finding, findings, here),
            latest=latest.get(finding.target),
        ),
    )


def _is_sum(finding: Finding, findings: list[Finding], here: Snapshot) -> bool:
    """Return whether a finding about a group only repeats findings about each of its servers: of one cause, or ongoing ones,
    or of a cause that explains it on each of them.
    """
    if not finding.group or finding.confidence < ASSERTED:
        return False
    groups = [group for proxy in here.proxies or () for group in proxy.upstreams if group.name == finding.group]
    members = {target for group in groups for peer in group.peers if not peer.is_down for target in addresses(peer, here)}
    if not CAUSES[finding.cause].sums_members:
        reasons = (other for other in findings if other.confidence >= ASSERTED and finding.cause in CAUSES[other.cause].outranks)
        return bool(members) and members <= {other.target for other in reasons}
    alive = {probe.target for probe in here.probes or () if probe.has_recovered and not probe.through_proxy}
    is_marked = bool(members & alive) and any(probe.symptom for probe in here.probes or () if probe.through_proxy)
    least = SURE if is_marked else ASSERTED  # recovered servers that the proxy still marks as down are a separate fault
    leads = _leads(members, here)
    hurt: dict[str, set[Target | None]] = {}
    for other in findings:
        if other.confidence >= least and (place := leads.get(other.target, other.target)) in members:
            hurt.setdefault(other.cause, set()).add(place)
    failing = {leads.get(other.target, other.target) for other in findings if other.confidence >= least and other.ongoing}
    return bool(members) and (members <= failing or any(places == members for places in hurt.values()))


def _leads(members: set[Target], here: Snapshot) -> dict[Target | None, Target]:
    """Return the addresses behind those members that are gateways of this machine, with the member that leads to each."""
    found: dict[Target | None, Target] = {}
    for proxy in here.proxies or ():
        for member in members:
            if any(accepts(listen, member) for listen in proxy.listens):
                found.update((target, member) for target in behind(proxy, member, here))
    return {target: member for target, member in found.items() if target not in members}


def _spares(here: Snapshot) -> dict[Target, set[Target]]:
    """Return the targets that get only requests which failed elsewhere (nginx: `error_page 502 = @spare`), with the targets on
    which these failed first.
    """
    served: dict[Target, set[Target] | None] = {}
    for proxy in here.proxies or ():
        for route in proxy.routes:
            before: set[Target] | None = None
            if route.location.startswith("@"):
                asking = (
                    other for other in proxy.routes if other.server_at == route.server_at and _gives_up_to(other, route.location)
                )
                before = {target for other in asking for peer in other.peers for target in addresses(peer, here)}
            for target in {target for peer in route.peers for target in addresses(peer, here)}:
                known = served.get(target, before)
                served[target] = None if before is None or known is None else known | before
    return {target: before - {target} for target, before in served.items() if before}


def _gives_up_to(route: Route, location: str) -> bool:
    """Return whether requests that fail on a route go on to a named location."""
    return any(setting.args[-1:] == (location,) for setting in route.settings.get("error_page", ()))


def _is_spare(finding: Finding, stated: dict[Target | None, list[Finding]], spares: dict[Target, set[Target]]) -> bool:
    """Return whether the requests of a finding only came to its target because they had failed on another, and why is stated."""
    first = spares.get(finding.target, ()) if finding.target else ()
    return any(other.ongoing >= finding.ongoing for target in first for other in stated.get(target, ()))


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


def _is_unasked(finding: Finding, findings: list[Finding], here: Snapshot) -> bool:
    """Return whether no client asks for the target of a finding, while requests to another one fail."""
    if finding.failures or finding.target is None or CAUSES[finding.cause].answers:
        return False
    logs = here.logs
    asked = {tally.target for tally in (logs.tallies if logs else ())} | {each.target for each in (logs.targets if logs else ())}
    hurt = any(other.failures and other.ongoing and other.confidence >= ASSERTED for other in findings)
    return hurt and finding.target not in asked


def _is_of_another_attempt(tally: Tally) -> bool:
    """Return whether the client got another attempt's answer: no gateway sends a status below 502 for an unanswered attempt."""
    is_unanswered = tally.symptom in GAP and tally.symptom not in (Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
    return is_unanswered and tally.status is not None and f"{tally.status}" not in FAILED


def _rank(
    finding: Finding, *, is_sum: bool, is_unfelt: bool, is_spare: bool, is_unasked: bool, latest: datetime | None
) -> tuple[object, ...]:
    was_over = finding.last_seen is not None and latest is not None and finding.last_seen + LATER < latest
    return (
        finding.confidence < ASSERTED,
        is_sum,  # the cause on each server ranks before "no server left", also if each is up for a moment
        is_unasked,
        is_unfelt,  # if requests fail elsewhere, the user asks about those
        finding.confidence >= ASSERTED and not finding.ongoing,  # ongoing failures rank before resolved ones
        finding.confidence >= ASSERTED and not finding.ongoing and was_over,  # and the latest failures before earlier ones
        is_spare,  # where a request failed first is what to repair first
        -round(min(finding.confidence, 0.95), 2),
        not finding.ongoing,
        -finding.failures,
        finding.cause,
        str(finding.target),
    )
