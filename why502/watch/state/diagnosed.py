"""What a diagnosis means for the incidents it was made for: their cause, their parts, and which of them is only an effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from why502.model.finding import Finding
from why502.watch import concern
from why502.watch.model import Diagnosed, Occasion, Transition
from why502.watch.state.grouping import MOST_APART, OWN_NETWORK, Part, Root, divided, is_root_of
from why502.watch.state.opening import announced, joined, opened, raised
from why502.watch.state.severity import severity_of
from why502.watch.state.turn import Turn
from why502.watch.state.values import Diagnose, DiagnosisReady, KeepBundle, SignalKey, Tracked

TIMEOUT_S = 45.0  # after which a diagnosis that did not answer is given up
OPENING_GAP_S, GAP_S = 10.0, 60.0
MOST_OPENING, WITHIN_S = 5, 300.0  # diagnoses for new incidents: as many as one a minute, but sooner
GATHER_S = 2.0  # what fails together is diagnosed together
MOST_DIAGNOSED = 20
MOST_EARLIER = timedelta(hours=1)  # the logs may have failed earlier than the incident opened, by this much


def apply(turn: Turn, ready: DiagnosisReady) -> None:
    """Give each incident its cause. A new one is divided if it has several roots."""
    turn.state.looking = replace(turn.state.looking, ids=())
    if ready.scopes:
        turn.state.scopes = {**turn.state.scopes, **ready.scopes}
    found = [turn.state.tracked[id_] for id_ in ready.ids if id_ in turn.state.tracked]
    new = [each for each in found if each.incident.is_open and not _was_diagnosed(each)]
    if new:
        _divide(turn, new, ready)
    for tracked in found:
        if tracked not in new:
            _again(turn, tracked, ready)


def _was_diagnosed(tracked: Tracked) -> bool:
    return any(each.finding for each in tracked.incident.diagnosed)


def _divide(turn: Turn, new: list[Tracked], ready: DiagnosisReady) -> None:
    """Make one incident of each root among new ones."""
    signals = {key: turn.state.signals[key] for each in new for key in sorted(each.signals) if key in turn.state.signals}
    left = {each.incident.id: each for each in new}
    for part in divided(signals, ready, turn.state.served):
        keys = {turn.state.key(key) for key in part.signals}
        home = next((each for each in left.values() if each.incident.key in keys), None)
        if home is not None:
            del left[home.incident.id]
            home = _limited(turn, home, part)
        else:
            home = opened(turn, list(part.signals), is_looking=False)
            home = turn.put(replace(home, look_until_s=turn.monotonic_s))
        _settle(turn, home, part, ready)
    for each in left.values():  # all of its signals are parts of others now
        others = [one for one in turn.state.open if one.incident.id != each.incident.id and one.signals & each.signals]
        if others:
            id_ = others[0].incident.id
            ended = turn.put(replace(each, closed_s=turn.monotonic_s, look_until_s=None, later_at_s=None))
            ended = turn.change(ended, closed_at=turn.now, caused_by=id_, closing=f"it is part of incident {id_}")
            if ended.incident.messages:
                turn.notify(ended, Transition.RESOLVED, is_quiet=True)


def _limited(turn: Turn, tracked: Tracked, part: Part) -> Tracked:
    """Return an incident with the signals of one part only."""
    loud = [key for key in part.signals if key in tracked.loud] or list(part.signals)
    if tracked.signals <= frozenset(part.signals):
        return joined(turn, tracked, part.signals)
    bare = turn.change(
        turn.put(replace(tracked, signals=frozenset(), loud=frozenset(loud))),
        targets=(), locations=(), symptoms={}, failures=0, recovered=0, unlike_check="",
    )  # fmt: skip
    return joined(turn, bare, part.signals, is_loud=False)


def _settle(turn: Turn, tracked: Tracked, part: Part, ready: DiagnosisReady) -> None:
    """Give an incident its cause, and announce it unless another one explains it."""
    tracked = _noted(turn, tracked, part.finding, part.root, ready)
    root = _explaining(turn, tracked, part.root)
    if root is not None:
        _yield(turn, tracked, root.incident.id)
        return
    severity = severity_of(tracked.loud, turn.state, part.finding)
    if tracked.incident.messages == 0:
        announced(turn, turn.change(tracked, severity=severity))
    else:
        tracked = raised(turn, tracked, severity)
        if tracked.incident.cause:
            turn.notify(tracked, Transition.UPDATED, is_quiet=True)


def _noted(turn: Turn, tracked: Tracked, finding: Finding | None, root: Root, ready: DiagnosisReady) -> Tracked:
    """Return the incident with a diagnosis in it, and with the changes right before it that concern it."""
    incident = tracked.incident
    reason = "" if finding else ready.reason or "no cause could be established"
    made = Diagnosed(at=ready.at, occasion=ready.occasion, finding=finding, reason=reason)
    first = incident.first_failure_at or incident.opened_at
    if finding and finding.first_seen and first - MOST_EARLIER <= finding.first_seen < first:
        first = finding.first_seen
    changes = incident.changes or concern.before(turn.state.changes, turn.scopes(incident), first)
    name = f"{finding.cause}@{finding.target}" if finding and finding.target else finding.cause if finding else ""
    if ready.diagnosis is not None and not tracked.is_kept:
        turn.others.append(KeepBundle(id=incident.id))
    tracked = turn.put(
        replace(tracked, resource=root.resource, mix=tracked.signals, is_kept=tracked.is_kept or ready.diagnosis is not None)
    )
    tracked = turn.change(
        tracked,
        diagnosed=(*incident.diagnosed[:1], *incident.diagnosed[1:][-MOST_DIAGNOSED:], made),
        first_failure_at=first,
        changes=changes,
        proposal=ready.proposals.get(name) if finding else incident.proposal,
    )
    if root.resource == OWN_NETWORK:
        tracked = turn.step(tracked, f"{OWN_NETWORK}: {ready.own_network}")
    if finding and finding.cause != incident.cause:
        tracked = turn.step(tracked, f"cause: {finding.message}")
    elif not finding and not incident.diagnosed:
        tracked = turn.step(tracked, f"cause not known: {reason}")
    if changes and not incident.changes:
        tracked = turn.step(tracked, began_after(tracked, first.timestamp()))
    return tracked


def began_after(tracked: Tracked, first: float) -> str:
    """Return a sentence about the change right before the first failure: "began 40 s after unit app.service started"."""
    change = tracked.incident.changes[0]
    seconds = max(first - change.at.timestamp(), 0.0)
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"began {time} after {concern.words(change)}"


def _explaining(turn: Turn, tracked: Tracked, root: Root) -> Tracked | None:
    """Return the other open incident that explains this one."""
    for other in turn.state.open:
        incident = other.incident
        if incident.id == tracked.incident.id or incident.caused_by or not incident.cause:
            continue
        many = max(len(incident.targets), len(tracked.incident.targets)) > MOST_APART
        if is_root_of(Root(incident.cause, other.resource), root, incident.finding) or (many and root.cause == incident.cause):
            return other
    return None


def _yield(turn: Turn, tracked: Tracked, id_: str) -> None:
    """Make an incident only the effect of another one: nobody is told of it, and the other one lists what it is about."""
    tracked = turn.change(turn.put(replace(tracked, look_until_s=None)), caused_by=id_)
    root = turn.state.tracked.get(id_)
    turn.step(tracked, f"explained by incident {id_}")
    if root is not None:
        both = (root.incident, tracked.incident)
        targets = tuple(dict.fromkeys(name for each in both for name in each.targets))
        locations = tuple(dict.fromkeys(name for each in both for name in each.locations))
        turn.change(root, targets=targets[:256], locations=locations[:256])


def _again(turn: Turn, tracked: Tracked, ready: DiagnosisReady) -> None:
    """Note a later diagnosis of an incident. Its parts stay together: what was told is not taken back."""
    signals = {key: turn.state.signals[key] for key in sorted(tracked.signals) if key in turn.state.signals}
    parts = divided(signals, ready, turn.state.served)
    part = next((one for one in parts if one.root.cause == tracked.incident.cause), parts[0] if parts else None)
    before = tracked.incident.cause
    root = part.root if part else Root("", "")
    tracked = _noted(turn, tracked, part.finding if part else None, root if root.cause else Root("", tracked.resource), ready)
    if not tracked.incident.is_open:
        return
    explaining = _explaining(turn, tracked, root) if root.cause else None
    if explaining is not None and not tracked.incident.caused_by:
        _yield(turn, tracked, explaining.incident.id)
        return
    if not tracked.incident.caused_by:
        tracked = raised(turn, tracked, severity_of(tracked.loud, turn.state, tracked.incident.finding))
        if tracked.incident.cause != before and tracked.incident.messages:
            turn.notify(tracked, Transition.UPDATED, is_quiet=True)


def schedule(turn: Turn) -> None:
    """Ask for the next diagnosis if one is wanted and may be made: one at a time, once a minute, new incidents sooner."""
    looking = turn.state.looking
    if looking.ids and looking.began_s and turn.monotonic_s - looking.began_s[-1] > TIMEOUT_S:
        reason = "the diagnosis did not answer in time"
        apply(turn, DiagnosisReady(ids=looking.ids, occasion=looking.occasion, at=turn.now, reason=reason))
        looking = turn.state.looking
    wanted = {id_: occasion for id_, occasion in looking.wanted.items() if id_ in turn.state.tracked}
    if looking.ids or not wanted:
        turn.state.looking = replace(looking, wanted=wanted)
        return
    began = tuple(at for at in looking.began_s if turn.monotonic_s - at < WITHIN_S)
    opened_s = [turn.state.tracked[id_].opened_s for id_, each in wanted.items() if each is Occasion.OPENED]
    if any(at is not None and turn.monotonic_s - at < GATHER_S for at in opened_s):
        turn.state.looking = replace(looking, wanted=wanted)
        return
    since = turn.monotonic_s - began[-1] if began else GAP_S
    is_new = Occasion.OPENED in wanted.values()
    if since < (OPENING_GAP_S if is_new and len(began) < MOST_OPENING else GAP_S):
        turn.state.looking = replace(looking, wanted=wanted, began_s=began)
        return
    occasion = Occasion.OPENED if is_new else next(iter(wanted.values()))
    ids = tuple(id_ for id_, each in wanted.items() if each is occasion or occasion is Occasion.OPENED)
    rest = {id_: each for id_, each in wanted.items() if id_ not in ids}
    turn.state.looking = replace(looking, ids=ids, occasion=occasion, began_s=(*began, turn.monotonic_s), wanted=rest)
    turn.others.append(Diagnose(ids=ids, occasion=occasion))


def is_changed(tracked: Tracked, keys: frozenset[SignalKey]) -> bool:
    """Return whether other targets or families fail than when the incident was diagnosed."""
    return bool(tracked.mix) and keys != tracked.mix
