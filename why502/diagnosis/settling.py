"""Settling: which of the weighed causes are only the effect of another one, and which are doubtful because something that
would explain them could not be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES, EXPLAINED_BY, OUTRANKED_BY
from why502.diagnosis.targets import addresses
from why502.diagnosis.weighing import Weighed, confidence_of
from why502.model.finding import ASSERTED, LIKELY, WEAK, Evidence, Layer, refutes
from why502.model.logs import Symptom
from why502.model.snapshot import Snapshot
from why502.model.target import Target

YIELDED = -1.5  # log-odds of a cause that is only the effect of another one: about 18 %
MARGIN = 0.3  # an effect is attributed to its cause unless its confidence is higher by more than this
UNSEEN = 2.8  # log-odds beyond the prior that remain if a needed collector timed out: just below an assertion
FEW = 3  # clients that gave up themselves
MENTIONED = 3  # of the causes that cannot be ruled out
_FROM_THE_PROXY = frozenset({"names", "probes"})  # sections that cover any target; the others cover only their own machine
_OF_CONTAINERS = frozenset({"containers", "networks"})  # sections that matter only where there are containers
_PUBLISHERS = frozenset({"docker-proxy", "rootlessport", "rootlesskit"})  # hold the published ports of containers


def settle(weighed: list[Weighed]) -> list[Weighed]:
    """Return the causes; one that is only the effect of an asserted cause, on the same target or on none, is lowered."""
    asserted = {(w.cause.id, w.case.target): w.confidence for w in weighed if w.confidence >= ASSERTED}
    heirs: dict[tuple[str, Target | None], set[str]] = {}
    result = []
    for w in weighed:
        target = w.case.target
        if target is None and any(cause == w.cause.id and other is not None for cause, other in asserted):
            continue  # already reported on the affected target
        if lower := _of_inner(w, asserted) or _of_front(w, weighed) or _of_members(w, asserted):
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
            result.append(_lowered(w, f"explained by {same}"))
        else:
            result.append(_doubted(w))
    return [replace(w, heirs=frozenset(heirs.get((w.cause.id, w.case.target), ()))) for w in result]


def _of_inner(weighed: Weighed, asserted: dict[tuple[str, Target | None], float]) -> Weighed | None:
    """Return the cause lowered if the target is itself a gateway and a cause is asserted for an address behind it; else None."""
    if weighed.confidence < ASSERTED or weighed.cause.layer is not Layer.UPSTREAM:  # others concern the path to the gateway
        return None
    behind, gateway = weighed.case.behind_inner, weighed.case.inner_gateway
    if gateway is None or not behind:
        return None
    found = [
        (confidence, cause, where)
        for (cause, where), confidence in asserted.items()
        if where in behind and CAUSES[cause].layer is not Layer.CLIENT  # its client is the gateway in front
    ]
    if not found:
        return None
    _, cause, where = max(found, key=lambda each: (each[0], each[1], str(each[2])))
    message = (
        f"{gateway.name} (pid {gateway.pid}) on {weighed.case.target} is itself a gateway: this is the effect of {cause} on "
        f"{where} behind it"
    )
    return _lowered(weighed, message, source="ss -ltnp")


def _of_front(weighed: Weighed, every: Sequence[Weighed]) -> Weighed | None:
    """Return the cause lowered if the clients that left are a gateway in front on this machine, which waits less; else None."""
    target = weighed.case.target
    if weighed.confidence < ASSERTED or weighed.cause.layer is not Layer.CLIENT or target is None:
        return None
    own = weighed.case.tally(Symptom.CLIENT_CLOSED)
    for other in every:
        late = other.case.tally(Symptom.READ_TIMED_OUT)
        if other.confidence < ASSERTED or late is None or target not in other.case.behind_inner:
            continue
        if own is not None and own.count <= late.count + FEW:
            who = "its client is the gateway in front, which gave up"
            return _lowered(weighed, f"{who}: this is the effect of {other.cause.id} on {other.case.target}")
    return None


def _of_members(weighed: Weighed, asserted: dict[tuple[str, Target | None], float]) -> Weighed | None:
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
    return _lowered(weighed, f"each server of {name} has its own {same[0]}")


def _lowered(weighed: Weighed, message: str, source: str = "") -> Weighed:
    """Return a cause that is only the effect of another one, as the message says."""
    note = Evidence(message=message, weight=YIELDED - WEAK, source=source)
    return replace(weighed, confidence=1 / (1 + math.exp(-YIELDED)), evidence=(*weighed.evidence, note))


def _checked_out(case: Case) -> set[Target]:
    """Return the targets whose health checks got an unexpected answer, from the gateway that had no server left."""
    empty = case.tally(Symptom.NO_LIVE_UPSTREAMS) if case.target is None else None
    logs = case.here.logs
    if empty is None or logs is None:
        return set()
    checked = (tally for tally in logs.tallies if tally.symptom is Symptom.HEALTH_CHECK_STATUS and tally.proxy == empty.proxy)
    return {tally.target for tally in checked if tally.target is not None}


def _doubted(weighed: Weighed) -> Weighed:
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
        return replace(weighed, confidence=confidence_of(UNSEEN), evidence=(*weighed.evidence, note))
    excess = sum(item.weight for item in weighed.evidence) - LIKELY
    if case.offline or excess <= 0 or (case.host is None and cause.layer is not Layer.UPSTREAM):
        return weighed
    hidden = [id_ for id_ in sorted(EXPLAINED_BY[cause.id]) if any(_is_hidden(part, case) for part in CAUSES[id_].needs)]
    if not hidden:
        return weighed
    named = ", ".join(hidden[:MENTIONED]) + (f" and {len(hidden) - MENTIONED} more" if hidden[MENTIONED:] else "")
    place = "this machine could not be examined in full" if case.host else f"the machine of {case.target} was not examined"
    note = refutes(f"{place}: {named} cannot be ruled out", weight=excess)
    return replace(weighed, confidence=confidence_of(LIKELY), evidence=(*weighed.evidence, note))


def _late(case: Case) -> set[str]:
    """Return the sections of the machines that show nothing of the target because their source timed out."""
    return {gap.section for each in case.machines for gap in each.gaps if gap.section and not _holds(each, gap.section, case)}


def _holds(machine: Snapshot, section: str, case: Case) -> bool:
    """Return whether a section that a slow source left incomplete still shows what concerns the target."""
    if section == "services":
        return any(service.manager != "none" for service in case.services)
    return bool(getattr(machine, section, None))


def _is_hidden(part: str, case: Case) -> bool:
    """Return whether a section is missing or incomplete; for `processes`, also if the target's own are unknown."""
    machine = case.here if part in _FROM_THE_PROXY else case.host
    if part in _OF_CONTAINERS and machine is not None and not _has_containers(machine):
        return False
    looked = getattr(machine, part, None)
    is_incomplete = machine is not None and any(gap.section == part for gap in machine.gaps)
    return looked is None or is_incomplete or (part == "processes" and bool(case.listeners) and not case.processes)


def _has_containers(machine: Snapshot) -> bool:
    """Return whether anything that was seen of a machine is in a container or another network, or belongs to an engine."""
    return (
        any(process.container or process.network or process.name in _PUBLISHERS for process in machine.processes or ())
        or any(listener.network for listener in machine.listeners or ())
        or any(proxy.network for proxy in machine.proxies or ())
    )
