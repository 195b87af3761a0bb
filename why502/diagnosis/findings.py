"""A finding in words: what becomes of a weighed cause, with its sentence, its place, its evidence and its remedies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from why502.diagnosis import siblings
from why502.diagnosis.attribution import CLOCK, GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.causes import CAUSES, fixes
from why502.diagnosis.notes import notes
from why502.diagnosis.ongoing import is_ongoing
from why502.diagnosis.peers import OUT, contradictions, described, views_of
from why502.diagnosis.unserved import unserved
from why502.diagnosis.weighing import Weighed
from why502.gateways.advice import own_advice
from why502.gateways.behaviour import OF_MESSAGES
from why502.model.finding import ASSERTED, STRONG, Evidence, Finding, Place
from why502.model.logs import NOTICES, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.remedy import Remedy
from why502.model.target import Target

LONG = 120  # characters of evidence in a sentence


def finding_of(weighed: Weighed) -> Finding:
    """Return a weighed cause as a finding. Its remedies are there if it is asserted."""
    cause, case, confidence = weighed.cause, weighed.case, weighed.confidence
    names = {cause.id, *weighed.heirs}
    own = {symptom for name in names for symptom in CAUSES[name].symptoms}
    logged = [tally for tally in case.tallies if tally.proxy is not None and tally.symptom not in NOTICES]
    tallies = [tally for tally in logged if tally.symptom in own or tally.named in names]
    is_met = any(probe.symptom in cause.symptoms and probe.symptom not in GAP for probe in case.probes)
    is_met |= not tallies and any(item.weight >= STRONG and item.source.startswith("probe") for item in weighed.seen)
    is_of_answers = any(one.reason in cause.answers and one.is_on(case.target) for one in unserved(case.joins))
    answered = _answered_500(case, own)
    is_later = answered is not None and case.last_failure is not None and answered > case.last_failure + CLOCK
    if not tallies and not (is_of_answers or is_later) and (case.target is not None or _group(case, list(case.failures))):
        tallies = list(case.failures) or logged
    last = max((at for at in (*(t.last for t in tallies), answered) if at), default=None)
    route, proxy = case.route, case.proxy
    product = proxy.kind if proxy else next((t.proxy for t in tallies if t.proxy), None)
    return Finding(
        cause=cause.id,
        layer=cause.layer,
        confidence=confidence,
        message=_conditional(_sentence(cause, case, weighed.seen), weighed),
        target=case.target or _named(case, tallies) or _aimed(cause, case),
        group=_group(case, tallies) or _group_of_routes(cause, case, tallies),
        proxy=product,
        place=Place(server=route.server, location=route.location, at=route.at or route.location_at)
        if route and case.target is not None
        else None,
        statuses=tuple(sorted({t.status for t in tallies if t.status is not None})),
        failures=sum(t.count for t in tallies),
        first_seen=min((t.first for t in tallies if t.first), default=None),
        last_seen=last,
        ongoing=is_met or is_ongoing(cause, case, logged, last),
        evidence=(
            *sorted(weighed.evidence, key=lambda item: -item.weight),
            *_noted(weighed),
            *_run_by(proxy),
            *_managed_by(case),
            *_called_by_its_gateway(case),
        ),
        remedies=_remedies(cause, case) if confidence >= ASSERTED else (),
    )


def _answered_500(case: Case, own: set[Symptom]) -> datetime | None:
    """Return when a client last got 500 from the application as one of a cause's own events happened: such an answer is no
    failure of the gateway, but the last trace of that cause. None if there is none.
    """
    at = case.last_error
    moments = (event.ended_at or event.at for event in case.events(*own)) if at else ()
    return at if at and any(moment and abs(moment - at) <= CLOCK for moment in moments) else None


_OF_NAMES = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED})


def _named(case: Case, tallies: list[Tally]) -> Target | None:
    """Return the configured name, with its port, that every failure of a finding failed to resolve; None if there is none."""
    if not tallies or any(tally.symptom not in _OF_NAMES or tally.target is not None for tally in tallies):
        return None
    texts = {tally.detail.partition(":")[0].lower() for tally in tallies}
    names = {name for name in texts if name and not Target(host=name, port=1).is_address}  # exclude the name server's own address
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


def _group_of_routes(cause: Cause, case: Case, tallies: list[Tally]) -> str:
    """Return the name of the only configured group that the requests of a finding lead to, if the log names neither an address
    nor a group; "" if the target is known, there are several groups, or the gateway may have answered itself.
    """
    own = {(proxy.kind, answer.status) for proxy in case.here.proxies or () for answer in proxy.answers}
    if case.target is not None or not all(_is_unnamed(tally) and (tally.proxy, tally.status) not in own for tally in tallies):
        return ""
    failed = {(request, tally.server, tally.proxy) for tally in tallies for request, _ in tally.requests}
    if not tallies and cause.answers:
        refused = (one for one in unserved(case.joins) if one.reason in cause.answers and one.target is None and one.request)
        failed = {(one.request, one.server, None) for one in refused}
    names = {
        route.upstream or ""
        for request, server, kind in failed
        for route in case.joins.routes_for_request(request, server)
        if kind in (None, route.proxy)
    }
    return names.pop() if len(names) == 1 and names <= case.joins.groups.keys() else ""


def _is_unnamed(tally: Tally) -> bool:
    """Return whether a failure concerns a backend that its log does not name, and the requests are known."""
    return tally.symptom in OF_MESSAGES and bool(tally.requests) and tally.target is None and not tally.group


def _noted(weighed: Weighed) -> tuple[Evidence, ...]:
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
        messages = list(contradictions(proxy, view, case.probes))
        if view.state in OUT and not messages:
            messages.append(described(proxy, view))
        for message in messages:
            yield Evidence(message=message, weight=0.0, source=view.source)


def _managed_by(case: Case) -> Iterator[Evidence]:
    """Yield the user whose service manager reported a service, if it is not root (any user can run one), and what links a
    service to the target if only the time does.
    """
    told = set()
    for service in case.services:
        message = f"user {service.owner_uid}, not root, runs the {service.manager} that speaks of {service.name}"
        if service.owner_uid and message not in told:  # each process of a cluster is a service
            told.add(message)
            yield Evidence(message=message, weight=0.0, source=service.manager)
        if service is case.linked_by_time:
            yield Evidence(message=f"{service.name} is taken to serve it: {service.link}", weight=0.0, source=service.manager)


def _conditional(sentence: str, weighed: Weighed) -> str:
    """Return a sentence with its condition, if it is sure only of a service that nothing but the time links to the target."""
    service = weighed.case.linked_by_time
    if service is None or not weighed.is_by_link or f"{service.name} may be" in sentence:
        return sentence
    return f"{sentence} (if {service.name} is its application)"


def _sentence(cause: Cause, case: Case, seen: tuple[Evidence, ...]) -> str:
    """Return the finding in one sentence: the cause's own, concrete sentence if it has one, else with its best evidence."""
    try:
        sentence = cause.summarize(case)
    except Exception:  # a sentence that we cannot write must not break the diagnosis
        sentence = ""
    if sentence:
        return sentence
    best = max((item for item in seen if item.weight >= STRONG), key=lambda item: item.weight, default=None)
    if case.target is None and not seen:
        return f"{cause.message}{_what_was_refused(cause, case)}"
    if case.target is None:
        message = cause.message
    elif cause.headline:
        message = cause.headline.format(target=case.target, proxy=case.proxy.kind if case.proxy else "the proxy")
    else:
        message = f"{case.target}: {cause.message}"
    return f"{message}: {_short(best.message)}" if best else message


def _what_was_refused(cause: Cause, case: Case) -> str:
    """Return what the gateway's own message about the most frequent failure adds: its detail, the server and the request."""
    own = (tally for tally in case.tallies if tally.symptom in cause.symptoms or tally.named == cause.id)
    tally = max(own, key=lambda each: each.count, default=None)
    if tally is None:
        return ""
    request = max(tally.requests, key=lambda each: each[1], default=("", 0))[0]
    most = f"most often {request}" if len(tally.requests) > 1 else request
    added = ", ".join(filter(None, (_short(tally.detail), tally.server, most)))
    return f": {added}" if added else ""


def _short(text: str) -> str:
    """Return the start of a long text from another program; the evidence holds all of it."""
    return text if len(text) <= LONG else text[:LONG].rpartition(" ")[0].rstrip(",:; ") + "…"


def _remedies(cause: Cause, case: Case) -> tuple[Remedy, ...]:
    """Return the cause's remedies for this case, else the gateway's own advice, else that of the cause's page."""
    try:
        found = siblings.remedies(cause, case)
    except Exception:  # a remedy that we cannot write must not break the diagnosis
        found = ()
    kinds = {case.proxy.kind} if case.proxy else {tally.proxy for tally in case.failures if tally.proxy}
    kind = kinds.pop() if len(kinds) == 1 else ""
    own = own_advice(kind, cause.id)
    return found or tuple(Remedy(message=advice) for advice in ([own] if own else fixes(cause.id, kind)))
