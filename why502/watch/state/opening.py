"""From loud signals to incidents: one more sign of an open one, the return of a closed one, or a new one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from why502.watch.model import Incident, Occasion, Severity, Transition
from why502.watch.state.families import OWN, Family
from why502.watch.state.grouping import OWN_NETWORK, is_covered, targets_of
from why502.watch.state.identity import incident_id
from why502.watch.state.severity import severity_of
from why502.watch.state.turn import Turn
from why502.watch.state.values import Signal, SignalKey, Tracked

LOOK_S = 15.0  # before the first message
LATER_S = 300.0
TOGETHER_S = 60.0  # failures of one family that begin within this time, without a known cause, are one incident
RETURN_S = 1800.0  # the same failure within this time is the same incident
LOUD_RETURNS = 3  # in an hour: it flaps
HOUR_S = 3600.0
MOST_OPEN = 200
MOST_NAMED = 256  # targets, locations
APART = OWN | {Family.INTENDED, Family.CLIENT}  # families that join no other incident
HELD_DAYS = 14
_RANK = {Severity.NONE: 0, Severity.TICKET: 1, Severity.PAGE: 2}


def open_for(turn: Turn, keys: Iterable[SignalKey]) -> None:
    """Make each signal part of an incident."""
    for key in keys:
        tracked = _home(turn, key)
        if tracked is None:
            opened(turn, [key])
        elif all(one.family in OWN for one in tracked.signals) and key.family not in OWN:
            _taken_over(turn, tracked, key)
        elif not tracked.incident.is_open:
            _reopened(turn, joined(turn, tracked, [key]))
        elif key not in tracked.loud:
            _louder(turn, joined(turn, tracked, [key]), is_new=key not in tracked.signals)


def _taken_over(turn: Turn, tracked: Tracked, key: SignalKey) -> None:
    """Let requests that fail lead an incident that a limit opened before them."""
    signal = turn.state.signals[key]
    tracked = turn.change(
        tracked,
        symptom=_main_symptom(signal),
        target="" if signal.is_targetless else key.subject,
        location=key.subject if signal.is_targetless else next(iter(signal.locations), ""),
        locations=(),
        symptoms={},
    )
    tracked = turn.step(joined(turn, tracked, [key]), _opening(tracked, signal))
    _louder(turn, tracked, is_new=True)


def _louder(turn: Turn, tracked: Tracked, *, is_new: bool) -> None:
    """Tell that an incident became worse, and have it diagnosed if its failures are others now."""
    if tracked.look_until_s is not None:
        return
    severity = severity_of(tracked.loud, turn.state, tracked.incident.finding)
    if _RANK[severity] > _RANK[tracked.incident.severity]:
        tracked = raised(turn, tracked, severity)
    if is_new:
        turn.want(tracked.incident.id, Occasion.CHANGED)


def _home(turn: Turn, key: SignalKey) -> Tracked | None:
    """Return the incident that a signal belongs to: its own, one about the same targets, or one that is just being opened."""
    state = turn.state
    every = state.open
    own = [each for each in every if key in each.signals]
    if own or not (every or state.tracked):
        return own[0] if own else None
    if key.family not in OWN | {Family.INTENDED}:
        signal = state.signals[key]
        for each in every:
            is_apart = all(one.family in APART for one in each.signals)
            concerned = {name for one in each.signals if one in state.signals for name in state.signals[one].concerns}
            if concerned & targets_of(key, signal, state.served):
                return each
            if not is_apart and is_covered(key, signal, each.incident.targets, each.incident.locations, state.served):
                return each
    if key.family not in APART:
        for each in every:
            if each.resource == OWN_NETWORK and state.signals[key].is_check:
                return each  # the checks say nothing about their targets now
            if each.look_until_s is not None and not all(one.family in APART for one in each.signals):
                return each
            known = {(one.proxy, one.family) for one in each.signals}
            is_young = each.opened_s is not None and turn.monotonic_s - each.opened_s < TOGETHER_S
            if is_young and not each.incident.cause and (key.proxy, key.family) in known:
                return each
        if len(every) >= MOST_OPEN:
            return every[-1]
    return _returned(turn, key)


def _returned(turn: Turn, key: SignalKey) -> Tracked | None:
    """Return the incident that closed less than half an hour ago, of which a signal is the return."""
    hashed = turn.state.key(key)
    for each in turn.state.tracked.values():
        recent = each.closed_s is not None and turn.monotonic_s - each.closed_s <= RETURN_S
        if recent and not each.incident.caused_by and (key in each.signals or each.incident.key == hashed):
            return each
    return None


def opened(turn: Turn, keys: list[SignalKey], *, is_looking: bool = True) -> Tracked:
    """Open an incident with these signals, the first of which identifies it."""
    state, first = turn.state, keys[0]
    key = state.key(first)
    signal = state.signals[first]
    id_ = incident_id(key, turn.now)
    while id_ in state.tracked:
        id_ += "x"
    past = state.past.get(key)
    tracked = Tracked(
        incident=Incident(
            id=id_,
            key=key,
            host=state.host,
            proxy=first.proxy,
            symptom=_main_symptom(signal),
            opened_at=turn.now,
            target="" if signal.is_targetless else first.subject,
            location=first.subject if signal.is_targetless else next(iter(signal.locations), ""),
            severity=Severity.NONE,
            first_failure_at=min(state.signals[one].began_at for one in keys),
            earlier=past.id if past else "",
            labels=dict(state.labels),
        ),
        opened_s=turn.monotonic_s,
        look_until_s=turn.monotonic_s + LOOK_S if is_looking else None,
        later_at_s=turn.monotonic_s + LATER_S if is_looking else None,
    )
    tracked = joined(turn, turn.put(tracked), keys)
    tracked = turn.change(tracked, severity=severity_of(tracked.loud, state, None))
    tracked = turn.step(tracked, _opening(tracked, signal))
    if past is not None:
        held = (turn.now - past.closed_at).days < HELD_DAYS and past.is_fixed
        day = f"{past.closed_at:%-d %B}"
        tracked = turn.step(tracked, f"the fix of {day} did not hold" if held else f"the same failure happened on {day}")
    if is_looking and first.family is not Family.INTENDED:
        turn.want(tracked.incident.id, Occasion.OPENED)
    return tracked


def _main_symptom(signal: Signal) -> str:
    return max(signal.symptoms, key=lambda symptom: (signal.symptoms[symptom], symptom), default="")


def _opening(tracked: Tracked, signal: Signal) -> str:
    what = tracked.incident.symptom.replace("-", " ") or "failures"
    where = tracked.incident.target or tracked.incident.location
    if signal.is_check and not signal.failures:
        return f"the check of {where} failed: {what}"
    if not signal.failures:
        return f"{where}: {what}"
    hurt = f"{signal.hurt} requests failed" if signal.hurt else f"{signal.failures} attempts failed and were retried"
    return f"{hurt} at {where}: {what}"


def joined(turn: Turn, tracked: Tracked, keys: Iterable[SignalKey], *, is_loud: bool = True) -> Tracked:
    """Return the incident with these signals in it, and what they counted before."""
    state, keys = turn.state, tuple(keys)
    if is_loud:
        tracked = turn.put(replace(tracked, loud=tracked.loud | set(keys)))
    new = [key for key in keys if key not in tracked.signals or not tracked.incident.is_open]
    if not new:
        return tracked
    incident = tracked.incident
    symptoms, failures, recovered = dict(incident.symptoms), incident.failures, incident.recovered
    targets, locations = dict.fromkeys(incident.targets), dict.fromkeys(incident.locations)
    for key in new:
        signal = state.signals[key]
        failures += signal.hurt
        recovered += max(signal.failures - signal.hurt, 0)
        for symptom, count in signal.symptoms.items():
            symptoms[symptom] = symptoms.get(symptom, 0) + count
        targets |= dict.fromkeys(() if signal.is_targetless else (key.subject,))
        locations |= dict.fromkeys(signal.locations or _locations(turn, key))
    signals = tracked.signals | set(new)
    times = [state.signals[key].last_s for key in new]
    tracked = replace(
        tracked,
        signals=signals,
        first_s=min((state.signals[key].began_s for key in signals if key in state.signals), default=turn.monotonic_s),
        last_s=max([*times, *([tracked.last_s] if tracked.last_s is not None else [])]),
    )
    return turn.change(
        turn.put(tracked),
        symptoms=symptoms,
        failures=failures,
        requests=max(incident.requests, failures),
        recovered=recovered,
        targets=tuple(targets)[:MOST_NAMED],
        locations=tuple(locations)[:MOST_NAMED],
        last_failure_at=turn.now,
    )


def _locations(turn: Turn, key: SignalKey) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(each.location for each in turn.state.served if each.proxy == key.proxy and key.subject in each.targets)
    )


def announced(turn: Turn, tracked: Tracked) -> Tracked:
    """Send the first message of an incident, unless it was sent, or there is a reason for none."""
    tracked = turn.put(replace(tracked, look_until_s=None))
    severity = severity_of(tracked.loud, turn.state, tracked.incident.finding)
    if _RANK[severity] > _RANK[tracked.incident.severity]:
        tracked = turn.change(tracked, severity=severity)
    return turn.notify(tracked, Transition.OPENED) if tracked.incident.messages == 0 else tracked


def raised(turn: Turn, tracked: Tracked, severity: Severity) -> Tracked:
    """Change the severity of an incident, and tell it where it became worse."""
    before = tracked.incident.severity
    if severity is before:
        return tracked
    tracked = turn.change(tracked, severity=severity)
    if tracked.look_until_s is not None:
        return tracked
    if tracked.incident.messages == 0:
        return announced(turn, tracked)
    return turn.notify(tracked, Transition.UPDATED, is_quiet=_RANK[severity] < _RANK[before])


def _reopened(turn: Turn, tracked: Tracked) -> None:
    """Open an incident again. Below three times an hour that wakes nobody; then it flaps, and one message an hour says so."""
    times = (*(at for at in tracked.reopened_s if turn.monotonic_s - at < HOUR_S), turn.monotonic_s)
    incident = tracked.incident
    tracked = turn.put(
        replace(tracked, closed_s=None, first_s=turn.monotonic_s, reopened_s=times, served={}, is_without_traffic=False)
    )
    tracked = turn.change(tracked, closed_at=None, closing="", is_fixed=False, times_reopened=incident.times_reopened + 1)
    turn.state.past.pop(incident.key, None)
    flaps = len(times) >= LOUD_RETURNS
    told_s = tracked.loud_s
    is_quiet = not flaps or (told_s is not None and turn.monotonic_s - told_s < HOUR_S)
    tracked = turn.step(tracked, f"flapping: it came back {len(times)} times within an hour" if flaps else "it came back")
    turn.want(incident.id, Occasion.CHANGED)
    if incident.messages == 0:
        announced(turn, tracked)
    else:
        turn.notify(tracked, Transition.REOPENED, is_quiet=is_quiet)
