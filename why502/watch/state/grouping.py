"""One root, one incident: divides failing signals by the causes of a diagnosis, and says which cause explains which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec

from why502.diagnosis.causes import CAUSES
from why502.model.finding import ASSERTED, Diagnosis, Finding, Layer
from why502.watch.model import MemberStatus
from why502.watch.state.families import Family
from why502.watch.state.identity import subject_of
from why502.watch.state.values import DiagnosisReady, Served, Signal, SignalKey, State

MOST_APART = 5  # more targets that begin to fail together with one cause have one root, though it is not known
TRACE = 0.2  # of a target's failures: fewer with another cause do not become an incident of their own
FAR = 6  # how near a finding is that shares only its kin with a signal that names no place
MACHINE = "this machine"
OWN_NETWORK = "this machine's network"


@dataclass(frozen=True, slots=True)
class Root:
    """A cause and what it concerns: a target, or what several targets share; "" for the whole proxy."""

    cause: str
    resource: str


@dataclass(frozen=True, slots=True)
class Part:
    """Signals with one root. `finding` None: no cause is established."""

    root: Root
    finding: Finding | None
    signals: tuple[SignalKey, ...]


def divided(signals: Mapping[SignalKey, Signal], ready: DiagnosisReady, served: Sequence[Served]) -> tuple[Part, ...]:
    """Return the signals by their root, the part of the leading finding first, then those without a cause by family."""
    findings = asserted(ready.diagnosis)
    ready = msgspec.structs.replace(ready, aliases=_with_earlier_addresses(signals, findings, ready.aliases, served))
    if ready.own_network and len(_machines(signals)) > 1:
        finding = next(iter(findings), None)
        return (Part(Root(OWN_NETWORK, OWN_NETWORK), finding, tuple(signals)),)
    chosen = _chosen(signals, findings, ready, served)
    chosen = _without_traces(chosen, signals)
    roots = _merged([finding for finding in findings if finding in chosen.values() or _sums(finding)], ready, served)
    parts: dict[Root, list[SignalKey]] = {}
    left: list[SignalKey] = []
    for key, finding in chosen.items():
        if finding is None:
            left.append(key)
        else:
            parts.setdefault(roots[_root(finding, ready)], []).append(key)
    for keys in _unexplained(left, signals, served):
        home = next((part for part in parts.values() if _is_same_place(keys, part, signals, served)), None)
        if home is not None:
            home += keys
        else:
            parts[Root("", f"{keys[0].proxy} {keys[0].family.value} {keys[0].subject}")] = list(keys)
    leading = {root: next((one for one in findings if _root(one, ready) == root), None) for root in parts}
    order = {id(finding): number for number, finding in enumerate(findings)}
    found = [Part(root, leading[root], tuple(keys)) for root, keys in parts.items()]
    return tuple(sorted(found, key=lambda part: order.get(id(part.finding), len(order))))


def _with_earlier_addresses(
    signals: Mapping[SignalKey, Signal],
    findings: Iterable[Finding],
    aliases: Mapping[str, tuple[str, ...]],
    served: Sequence[Served],
) -> dict[str, tuple[str, ...]]:
    """Return the addresses of names, with those that the names led to earlier.

    A proxy connects to what its configuration names. So an address that fails, and that it does not name, is one of the only name
    with the same port: of those behind the locations that fail, or, where the log has the name, of those that fail.
    """
    found = dict(aliases)
    known = {target for each in served for target in each.targets}.union(*aliases.values())
    failing = {target for key, signal in signals.items() for target in targets_of(key, signal, served)}
    behind = {str(finding.target): failing for finding in findings if finding.target}
    for key, signal in signals.items():
        at = (each.targets for each in served if each.proxy == key.proxy and each.location in signal.locations)
        behind[key.subject] = set().union(*at)
    for address, targets in behind.items():
        names = [name for name in targets & aliases.keys() if name.rpartition(":")[2] == address.rpartition(":")[2]]
        if address not in known and len(names) == 1:
            found[names[0]] = (*found[names[0]], address)
    return found


def asserted(diagnosis: Diagnosis | None) -> tuple[Finding, ...]:
    """Return the findings of a diagnosis that it stands by, the best first."""
    return tuple(finding for finding in (diagnosis.findings if diagnosis else ()) if finding.confidence >= ASSERTED)


def explains(cause: str, other: str) -> bool:
    """Return whether one cause makes another one only its effect, or ranks above it where both hold."""
    return cause in CAUSES and (other in CAUSES[cause].explains or other in CAUSES[cause].outranks)


def is_root_of(root: Root, other: Root, of: Finding | None) -> bool:
    """Return whether failures with one root are failures of another one, or its effect on the same resource.

    `of`: the finding of the first. One that concerns the whole machine or proxy explains what its targets suffer.
    """
    if root == other:
        return True
    is_wide = of is not None and (of.target is None or of.layer is Layer.PLATFORM)
    return explains(root.cause, other.cause) and (root.resource == other.resource or is_wide)


def _root(finding: Finding, ready: DiagnosisReady) -> Root:
    target = str(finding.target) if finding.target else ""
    if finding.layer is Layer.PLATFORM and target not in ready.roots:
        return Root(finding.cause, MACHINE)
    if not target:
        place = finding.place
        return Root(finding.cause, finding.group or (f"{place.server}{place.location}" if place else ""))
    return Root(finding.cause, ready.roots.get(target, target))


def _without_traces(
    chosen: dict[SignalKey, Finding | None], signals: Mapping[SignalKey, Signal]
) -> dict[SignalKey, Finding | None]:
    """Return the findings of the signals; few failures of a target have the cause of its many others."""
    by_target: dict[str, Counter[str]] = {}
    leading: dict[tuple[str, str], Finding] = {}
    for key, finding in chosen.items():
        if finding is not None and finding.target is not None:
            target = str(finding.target)
            by_target.setdefault(target, Counter())[finding.cause] += max(signals[key].failures, 1)
            leading[target, finding.cause] = finding
    best = {target: counts.most_common(1)[0] for target, counts in by_target.items()}
    result = dict(chosen)
    for key, finding in chosen.items():
        if finding is not None and finding.target is not None:
            cause, count = best[str(finding.target)]
            if by_target[str(finding.target)][finding.cause] < TRACE * count:
                result[key] = leading[str(finding.target), cause]
    return result


def _sums(finding: Finding) -> bool:
    return bool(finding.group) and finding.cause in CAUSES and CAUSES[finding.cause].sums_members


def _merged(findings: Sequence[Finding], ready: DiagnosisReady, served: Sequence[Served]) -> dict[Root, Root]:
    """Return for each root the one that stands for it: the one that explains it, or the common one of very many.

    A group's finding that the diagnosis ranks above those of its members stands for them.
    """
    roots = {_root(finding, ready): finding for finding in reversed(findings)}
    ranked = list(dict.fromkeys(_root(finding, ready) for finding in findings))
    above = {root: root for root in ranked}
    for root in ranked:
        above[root] = next(
            (other for other in ranked if other != root and is_root_of(other, root, roots[other]) and above[other] != root), root
        )
    for group in [finding for finding in findings if _sums(finding)]:
        members = {target for each in served if each.group == group.group for target in each.targets}
        for finding in findings[findings.index(group) + 1 :]:
            if str(finding.target) in members:
                above[_root(finding, ready)] = _root(group, ready)
    for root in ranked:  # the effect of an effect
        above[root] = above[above[root]]
    for cause in {root.cause for root in ranked}:
        same = [root for root in ranked if root.cause == cause and above[root] == root]
        if len(same) > MOST_APART:
            for root in ranked:
                if above[root] in same:
                    above[root] = same[0]
    return above


def _chosen(
    signals: Mapping[SignalKey, Signal], findings: Sequence[Finding], ready: DiagnosisReady, served: Sequence[Served]
) -> dict[SignalKey, Finding | None]:
    """Return the finding about each signal: about its own target, else about its group or place, else about the proxy.

    One that only could be about it has rather no signal of its own.
    """
    chosen: dict[SignalKey, Finding | None] = dict.fromkeys(signals)
    far = {}
    for key, signal in signals.items():
        near = [(_nearness(key, signal, finding, ready, served), finding) for finding in findings]
        fitting = [(distance, finding) for distance, finding in near if distance is not None]
        nearest = min((distance for distance, _ in fitting), default=None)
        best = [finding for distance, finding in fitting if distance == nearest]
        if nearest is not None and nearest[0] == FAR:
            far[key] = best
        elif best:
            chosen[key] = best[0]
    taken = {id(finding) for finding in chosen.values()}
    return chosen | {key: next((one for one in best if id(one) not in taken), best[0]) for key, best in far.items()}


def _nearness(
    key: SignalKey, signal: Signal, finding: Finding, ready: DiagnosisReady, served: Sequence[Served]
) -> tuple[int, bool] | None:
    """Return how far a finding is from a signal, smaller is nearer; None if it does not concern it."""
    if key.family is Family.GATEWAY:  # whatever is wrong with a gateway may have stopped it
        return (0, False) if finding.layer in (Layer.PROXY, Layer.PLATFORM) else None
    is_foreign = bool(signal.symptoms) and not _symptoms(finding.cause) & set(signal.symptoms)
    targets = targets_of(key, signal, served)
    is_anywhere = signal.is_targetless and not targets  # its lines name no place at all
    far = (FAR, True) if is_anywhere and _symptoms_of_kin(finding.cause) & set(signal.symptoms) else None
    names = {key.subject, *ready.aliases.get(key.subject, ())}
    if finding.target is not None:
        if str(finding.target) in names:
            return 0, is_foreign
        behind = {name for target in targets for name in (target, *ready.aliases.get(target, ()))}
        if key.subject not in targets and str(finding.target) in behind:
            return (5 if is_foreign else 1), is_foreign  # the lines name another place, and another reason
        return (4, is_foreign) if signal.is_targetless and not is_foreign else far
    if finding.group:
        is_in = any(
            finding.group == each.group and (key.subject in each.targets or key.subject == each.location) for each in served
        )
        return (2, is_foreign) if is_in or key.subject == finding.group else None
    if finding.place is not None and (finding.place.server or finding.place.location):
        place = f"{finding.place.server}{finding.place.location}"
        return (
            (3, is_foreign)
            if place in (key.subject, *signal.locations)
            else None
            if signal.locations and is_foreign
            else (4, is_foreign)
        )
    return far if is_foreign and finding.layer is not Layer.PLATFORM else (5, is_foreign)


@cache
def _symptoms(cause: str) -> frozenset[str]:
    return frozenset(symptom.value for symptom in CAUSES[cause].symptoms) if cause in CAUSES else frozenset()


@cache
def _symptoms_of_kin(cause: str) -> frozenset[str]:
    """Return the symptoms of the causes that a cause explains, and of those that explain it."""
    return frozenset(each for name in CAUSES if explains(cause, name) or explains(name, cause) for each in _symptoms(name))


def targets_of(key: SignalKey, signal: Signal, served: Iterable[Served]) -> frozenset[str]:
    """Return the targets that a signal concerns: its own, or those of its locations or of its group."""
    if signal.concerns:
        return frozenset(signal.concerns)
    if not signal.is_targetless and not any(each.group == key.subject for each in served):
        return frozenset({key.subject})
    names = {key.subject, *signal.locations}
    return frozenset(
        target
        for each in served
        if each.proxy == key.proxy and (each.location in names or each.group == key.subject)
        for target in each.targets
    )


def _unexplained(
    left: Sequence[SignalKey], signals: Mapping[SignalKey, Signal], served: Sequence[Served]
) -> list[list[SignalKey]]:
    """Return signals without a cause that belong together: of the same place, or of the same family at the same proxy."""
    parts: list[list[SignalKey]] = []
    for key in left:
        near = [
            part
            for part in parts
            if any((one.proxy, one.family) == (key.proxy, key.family) for one in part)
            or _is_same_place([key], part, signals, served)
        ]
        joined = [key, *(one for part in near for one in part)]
        parts = [part for part in parts if part not in near]
        parts.append(joined)
    return [sorted(part, key=lambda key: (-signals[key].hurt, -signals[key].failures, key)) for part in parts]


def _is_same_place(
    keys: Iterable[SignalKey], others: Iterable[SignalKey], signals: Mapping[SignalKey, Signal], served: Sequence[Served]
) -> bool:
    """Return whether signals concern the same targets, or the same locations where one of them names no target."""
    others = tuple(others)
    for key in keys:
        mine = targets_of(key, signals[key], served)
        for other in others:
            is_of_machine = not key.proxy or not other.proxy  # a limit is no proxy's
            if (key.proxy == other.proxy or is_of_machine) and (mine & targets_of(other, signals[other], served)):
                return True
            is_vague = signals[key].is_targetless or signals[other].is_targetless
            shared = {key.subject, *signals[key].locations} & {other.subject, *signals[other].locations}
            if key.proxy == other.proxy and is_vague and shared:
                return True
    return False


def is_covered(
    key: SignalKey, signal: Signal, targets: Iterable[str], locations: Iterable[str], served: Sequence[Served]
) -> bool:
    """Return whether a signal is one more sign of an incident with these targets and locations."""
    known = {subject_of(target) for target in targets}
    mine = targets_of(key, signal, served)
    if known and mine:
        return mine <= known
    return bool({key.subject, *signal.locations} & set(locations)) if signal.is_targetless or not known else key.subject in known


def _machines(signals: Iterable[SignalKey]) -> set[str]:
    """Return the other machines that the signals are about."""
    hosts = {key.subject.rpartition(":")[0] or key.subject for key in signals}
    return {host for host in hosts if not host.startswith(("127.", "unix:", "localhost", "[::1]", "unix"))}


def unlike_check(key: SignalKey, signal: Signal, state: State) -> str:
    """Return what differs between the check, which passes, and the users' requests, which fail; "" if that is not so.

    A check must have passed between two failures: right after a server has died, its last check is still good.
    """
    if state.status(key.proxy, key.subject) is not MemberStatus.UP or not signal.hurt or signal.is_check:
        return ""
    passed_s = state.passed_s(key.proxy, key.subject)
    if passed_s is None or not signal.began_s < passed_s <= signal.last_s:
        return ""
    names = state.aliases.get(key.subject, ())
    down = [name for name in names if state.status(key.proxy, name) is MemberStatus.DOWN]
    if down:
        return f"the check of {', '.join(down)} fails, and the checks of the other addresses of {key.subject} pass"
    symptom = max(signal.symptoms, key=lambda each: signal.symptoms[each], default="")
    reason = _DIFFERENCES.get(symptom, "")
    return f"the check of {key.subject} passes, but users' requests fail" + (f": {reason}" if reason else "")


_DIFFERENCES = {
    "header-too-big": "their responses have larger headers than the check's",
    "request-header-too-big": "their requests have larger headers than the check's",
    "wrong-host": "they use a different Host than the check",
    "closed-before-header": "they reuse idle connections, and the check opens a new one",
    "reset-before-header": "they reuse idle connections, and the check opens a new one",
    "read-timed-out": "they request something that takes longer than the check's request",
    "body-timed-out": "they read a body, and the check reads only the header",
    "closed-in-body": "they read a body, and the check reads only the header",
    "reset-in-body": "they read a body, and the check reads only the header",
    "body-invalid": "they read a body, and the check reads only the header",
    "send-timed-out": "they send a body, and the check sends none",
    "send-failed": "they send a body, and the check sends none",
    "upstream-status": "they use other paths or methods than the check",
    "application-error": "they use other paths or methods than the check",
}
