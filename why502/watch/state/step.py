"""step(): one event changes the state, and actions follow. A pure function: the caller brings the time and acts.

Intervals are measured by the monotonic clock, so that neither a change of the clock nor a suspended machine opens or closes
anything. The state is bounded: at most MOST_SIGNALS signals, MOST_OPEN open incidents, and what happened in the last half hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from why502.watch import concern
from why502.watch.model import Blindness, Change, Incident, Limit, LimitKind, Member, MemberStatus, Observed, Occasion, TargetKey
from why502.watch.state import diagnosed, resources, self_watch
from why502.watch.state.burn import Budget, Objective, burning
from why502.watch.state.closing import KEEP_S, close_what_ended, closed
from why502.watch.state.families import OWN, UNHURT, Family, family_of
from why502.watch.state.grouping import unlike_check
from why502.watch.state.identity import subject_of
from why502.watch.state.opening import LOOK_S, announced, joined, open_for, raised
from why502.watch.state.severity import is_planned, is_sustained, severity_of
from why502.watch.state.triggers import (
    HOUR_MINUTES,
    MOST_SIGNALS,
    OTHER,
    Added,
    added,
    attempts_added,
    bounded,
    fallen,
    fresh_minutes,
    streaks,
    triggered,
    uneven,
)
from why502.watch.state.turn import Turn
from why502.watch.state.values import (
    Action,
    DiagnosisReady,
    Event,
    Health,
    Past,
    Signal,
    SignalKey,
    State,
    TargetsChanged,
    Tick,
    Tracked,
)

MOST_CHANGES = 500
CHANGES_KEPT = timedelta(hours=24)
STEP_S = 5.0  # a larger difference between the two clocks: somebody set the time
LEAP_LASTS_S = 120.0
CHECK_LOOK_S = 15.0  # a check that fell hurts nobody yet: a restart is over by then


def step(state: State, event: Event, now: datetime, monotonic_s: float) -> tuple[State, tuple[Action, ...]]:
    """Return the state after an event, and what is to be done."""
    turn = Turn(state, now, monotonic_s)
    _watch_clock(turn)
    match event:
        case Observed():
            _observe(turn, event)
        case Member():
            _check(turn, event)
        case Change():
            _remember(turn, event)
        case Limit():
            if event.kind is LimitKind.DISK:
                turn.state.disks[event.subject] = event
            resources.limit(turn, event)
        case Blindness():
            resources.blindness(turn, event)
        case TargetsChanged():
            _configure(turn, event)
        case DiagnosisReady():
            diagnosed.apply(turn, event)
        case Tick():
            _tick(turn)
    diagnosed.schedule(turn)
    return turn.state, turn.actions()


def restored(
    incidents: Iterable[Incident],
    members: Iterable[Member],
    changes: Iterable[Change] = (),
    *,
    host: str = "",
    objectives: tuple[Objective, ...] = (),
    budgets: Mapping[str, Budget] | None = None,
    labels: Mapping[str, str] | None = None,
    now: datetime | None = None,
    monotonic_s: float = 0.0,
) -> State:
    """Return the state with which a daemon starts: the open incidents go on with their id, and are not told again.

    `incidents`: the open ones, and those that closed in the last 14 days, the oldest first. `members`: as the checks left them.
    `changes`: those of the last day.
    """
    state = State(
        host=host,
        changes=tuple(changes)[-MOST_CHANGES:],
        objectives=objectives,
        budgets=dict(budgets or {}),
        labels=labels or {},
        monotonic_s=monotonic_s,
    )
    for incident in incidents:
        if incident.closed_at is not None and not incident.caused_by:
            state.past.pop(incident.key, None)
            state.past[incident.key] = Past(incident.id, incident.closed_at, incident.is_fixed)
        age_s = (now - incident.closed_at).total_seconds() if now and incident.closed_at else 0.0
        if incident.closed_at is not None and not 0 <= age_s <= KEEP_S:
            continue
        state.tracked[incident.id] = _resumed(state, incident, monotonic_s - age_s if incident.closed_at else None)
    for member in members:
        state.health[TargetKey(member.proxy, str(member.peer))] = _health(member, monotonic_s)
    return state


def _resumed(state: State, incident: Incident, closed_s: float | None) -> Tracked:
    """Return an incident of an earlier run. Its signals start again; what is quiet is quiet from now on."""
    own = _own_signal(state, incident)
    by_symptom = {name: family for name in incident.symptoms or (incident.symptom,) if (family := family_of(name))}
    families = set(by_symptom.values())
    subjects = incident.targets or incident.locations or (incident.target or incident.location,)
    keys = {SignalKey(incident.proxy, subject, family) for subject in subjects for family in families}
    keys = {own} if own is not None and own.family in OWN else keys | ({own} if own is not None else set())
    if incident.is_open:
        for key in keys:
            state.signals[key] = Signal(
                began_s=state.monotonic_s,
                began_at=incident.first_failure_at or incident.opened_at,
                last_s=state.monotonic_s,
                hurt=min(incident.failures, 1),
                symptoms={name: 1 for name, family in by_symptom.items() if family is key.family} or {incident.symptom: 1},
                locations=incident.locations,
                is_check=not incident.failures,
                is_targetless=not incident.targets,
            )
        if not incident.diagnosed and any(key.family not in (*OWN, Family.INTENDED) for key in keys):
            state.looking = replace(state.looking, wanted={**state.looking.wanted, incident.id: Occasion.OPENED})
    return Tracked(
        incident=incident,
        signals=frozenset(keys),
        loud=frozenset(keys),
        first_s=state.monotonic_s,
        last_s=state.monotonic_s,
        look_until_s=None if incident.messages or closed_s is not None else state.monotonic_s + LOOK_S,
        closed_s=closed_s,
        resource=incident.target if incident.cause else "",
        is_kept=bool(incident.diagnosed),
    )


def _own_signal(state: State, incident: Incident) -> SignalKey | None:
    """Return the signal that identifies an incident: the one whose key it has."""
    return next(
        (
            key
            for subject in (incident.target, incident.location)
            for family in Family
            if state.key(key := SignalKey(incident.proxy, subject, family)) == incident.key
        ),
        None,
    )


def _watch_clock(turn: Turn) -> None:
    """Notice that the time was set, so that lines written before it are not taken for old ones."""
    before = turn.before
    if before.now is None:
        return
    leap_s = (turn.now - before.now).total_seconds() - (turn.monotonic_s - before.monotonic_s)
    if abs(leap_s) > STEP_S:
        turn.state.leap_s, turn.state.leap_until_s = leap_s, turn.monotonic_s + LEAP_LASTS_S
        turn.note(f"the clock was set by {leap_s:+.0f} s, or the machine was suspended: intervals are not affected")


def _observe(turn: Turn, observed: Observed) -> None:
    state = turn.state
    self_watch.read(turn, observed)
    counts = (observed.failures, observed.requests, observed.attempts, observed.recovered)
    if observed.is_history or not any(counts):
        return
    found = added(state, observed, turn.now, turn.monotonic_s)
    if any(attempt.outcome == "ok" for _, attempt in observed.attempts):
        state.tells_attempts |= {observed.proxy, *(attempt.proxy for _, attempt in observed.attempts)}
    state.signals = bounded({**state.signals, **found.signals})
    state.streaks = dict(
        sorted(streaks(state.streaks, found, turn.monotonic_s).items(), key=lambda each: each[1])[-MOST_SIGNALS:]
    )
    state.attempts = attempts_added(state.attempts, observed.attempts, fresh_minutes(state, observed, turn.now), turn.monotonic_s)
    for place in (*found.requests, *found.served):
        state.traffic[place if place in state.traffic or len(state.traffic) < MOST_SIGNALS else (place[0], OTHER)] = (
            turn.monotonic_s
        )
    _spend(turn, found)
    taken = {key for tracked in state.open for key in tracked.signals}
    for tracked in state.open:
        _follow(turn, tracked, found, taken)
    harmful = [key for key in triggered(state, found, turn.monotonic_s) if key in state.signals and state.signals[key].hurt]
    hidden = [key for key in found.signals if key in state.signals and is_sustained(key, state)]
    open_for(turn, [*harmful, *hidden])


def _follow(turn: Turn, tracked: Tracked, found: Added, taken: set[SignalKey]) -> None:
    """Count for an open incident what failed again, and what succeeded since. `taken`: the signals of all incidents."""
    keys = {key for key in found.failed if key in tracked.signals and key in turn.state.signals}
    near = {
        key
        for key in found.failed
        if key in turn.state.signals and key.family is not Family.INTENDED and key.subject in tracked.incident.targets
    } - taken
    taken |= near
    incident = tracked.incident
    names = (*incident.targets, *incident.locations)
    proxies = {key.proxy for key in tracked.signals} | {incident.proxy}
    gained = {name: count for name in dict.fromkeys(names) if (count := sum(found.served[proxy, name] for proxy in proxies))}
    requests = sum(found.requests[proxy, name] for proxy in proxies for name in incident.locations)
    if keys:
        tracked = _failed_again(turn, tracked, found, keys)
    elif gained:
        counts = {**tracked.served, **{name: tracked.served.get(name, 0) + count for name, count in gained.items()}}
        tracked = turn.put(replace(tracked, served=counts, is_without_traffic=False))
    if requests:  # those before it opened are known only as far as they failed
        tracked = turn.change(tracked, requests=max(incident.requests + requests, tracked.incident.failures))
    if near:
        joined(turn, tracked, near, is_loud=False)
        if tracked.look_until_s is None and {key.family for key in near} - {key.family for key in tracked.mix} - UNHURT:
            turn.want(incident.id, Occasion.CHANGED)


def _failed_again(turn: Turn, tracked: Tracked, found: Added, keys: set[SignalKey]) -> Tracked:
    incident = tracked.incident
    symptoms = dict(incident.symptoms)
    for key in keys:
        for symptom, count in found.symptoms[key].items():
            symptoms[symptom] = symptoms.get(symptom, 0) + count
    places = dict.fromkeys((*incident.locations, *(name for key in sorted(keys) for name in turn.state.signals[key].locations)))
    tracked = turn.put(replace(tracked, last_s=turn.monotonic_s, served={}, is_without_traffic=False))
    tracked = turn.change(
        tracked,
        failures=incident.failures + sum(found.hurt[key] for key in keys),
        recovered=incident.recovered + sum(found.recovered[key] for key in keys),
        symptoms=symptoms,
        locations=tuple(places)[:256],
        last_failure_at=turn.now,
    )
    tracked = _compare_with_checks(turn, tracked)
    severity = severity_of(tracked.loud, turn.state, incident.finding)
    is_worse = severity.value == "page" and incident.severity.value != "page"
    return raised(turn, tracked, severity) if is_worse else tracked


def _compare_with_checks(turn: Turn, tracked: Tracked) -> Tracked:
    """Return the incident with what differs between the checks, where they pass, and the requests that fail."""
    signals = turn.state.signals
    found = (unlike_check(key, signals[key], turn.state) for key in sorted(tracked.signals) if key in signals)
    unlike = next(filter(None, found), "")
    if unlike == tracked.incident.unlike_check:
        return tracked
    tracked = turn.change(tracked, unlike_check=unlike)
    return turn.step(tracked, unlike) if unlike else tracked


def _spend(turn: Turn, found: Added) -> None:
    """Count the requests of each objective."""
    minute = int(turn.monotonic_s // 60)
    for objective in turn.state.objectives:
        requests = sum(count for place, count in found.requests.items() if _is_of(objective, place))
        failures = sum(
            found.hurt[key]
            for key, signal in found.signals.items()
            if key.family not in UNHURT
            and any(_is_of(objective, (key.proxy, location)) for location in signal.locations or (key.subject,))
        )
        if requests or failures:
            budget = turn.state.budgets.get(objective.name, Budget())
            turn.state.budgets[objective.name] = budget.added(minute, max(requests, failures), failures)


def _is_of(objective: Objective, place: tuple[str, str]) -> bool:
    return objective.proxy in ("", place[0]) and objective.location in ("", place[1])


def _health(member: Member, monotonic_s: float) -> Health:
    last = member.last
    symptom = last.symptom.value if last and last.symptom else "health-check-failed"
    passes = last is not None and last.symptom is None and not last.is_unknown
    return Health(member.status, monotonic_s, symptom, last.reason if last else "", monotonic_s if passes else None)


def _check(turn: Turn, member: Member) -> None:
    """Note what the checks say of a target now."""
    key = TargetKey(member.proxy, subject_of(str(member.peer)))
    before = turn.state.health.get(key)
    health = _health(member, turn.monotonic_s)
    is_same = before is not None and before.status is health.status
    if before is not None:
        health = replace(
            health,
            since_s=before.since_s if is_same else health.since_s,
            passed_s=before.passed_s if health.passed_s is None else health.passed_s,
        )
    turn.state.health[key] = health
    if is_same or before is None or health.status is MemberStatus.UNKNOWN:
        return
    for tracked in turn.state.open:
        if key.target in tracked.incident.targets:
            words = "fell: " + (health.reason or health.symptom) if health.status is MemberStatus.DOWN else "succeeds again"
            turn.step(tracked, f"the check of {key.target} {words}")


def _fall(turn: Turn) -> None:
    """Open incidents for the checks that fell some seconds ago, unless somebody stopped what they ask."""
    loud = []
    for key, health in turn.state.health.items():
        if health.status is not MemberStatus.DOWN or turn.monotonic_s - health.since_s < CHECK_LOOK_S:
            continue
        subject = _name_of(turn.state, key)
        signal = SignalKey(key.proxy, subject, family_of(health.symptom) or Family.CONNECTION)
        open_now = any(signal in each.signals or subject in each.incident.targets for each in turn.state.open)
        if not open_now and not is_planned(signal, turn.state):
            turn.state.signals[signal] = fallen(health, turn.state.signals.get(signal), turn.now, turn.monotonic_s)
            loud.append(signal)
    open_for(turn, loud)


def _name_of(state: State, key: TargetKey) -> str:
    """Return the configured target of a checked address; the address itself while others of that name are up."""
    names = [name for name, addresses in state.aliases.items() if key.target in addresses]
    return next((name for name in names if state.status(key.proxy, name) is MemberStatus.DOWN), key.target)


def _remember(turn: Turn, change: Change) -> None:
    """Keep a change, and add it to the incidents that it concerns."""
    if concern.is_known(change, turn.state.changes):
        return
    kept = [each for each in concern.without(change, turn.state.changes) if turn.now - each.at < CHANGES_KEPT]
    turn.state.changes = (*kept, change)[-MOST_CHANGES:]
    for tracked in turn.state.open:
        scopes = turn.scopes(tracked.incident)
        if not any(concern.touched(change, scope, target) for target, scope in scopes):
            continue
        first = tracked.incident.first_failure_at or tracked.incident.opened_at
        if concern.before((change,), scopes, first) and tracked.mix:
            found = concern.before((*concern.without(change, tracked.incident.changes), change), scopes, first)
            turn.change(tracked, changes=found)
        turn.step(turn.state.tracked[tracked.incident.id], f"{concern.words(change)} ({change.at:%H:%M:%S})")


def _configure(turn: Turn, event: TargetsChanged) -> None:
    """Learn what the gateways use now. What was known of targets that are gone is forgotten."""
    state = turn.state
    state.served = tuple(
        type(each)(
            proxy=each.proxy,
            location=each.location,
            group=each.group,
            targets=tuple(dict.fromkeys(subject_of(target) for target in each.targets)),
        )
        for each in event.served
    )
    state.scopes = {subject_of(target): scope for target, scope in event.scopes.items()}
    state.aliases = event.aliases
    gone = {proxy: "it was running before" for proxy in (*state.running, *state.missed) if proxy not in event.running}
    missed = {**gone, **event.missed}
    state.missed = {proxy: (state.missed.get(proxy, (turn.monotonic_s, ""))[0], why) for proxy, why in missed.items()}
    state.running = event.running
    state.gateway_units = event.gateway_units
    known = {
        (each.proxy, name)
        for each in state.served
        for target in each.targets
        for name in (target, *event.aliases.get(target, ()))
    }
    if known:
        state.health = {key: health for key, health in state.health.items() if tuple(key) in known}


def _tick(turn: Turn) -> None:
    state = turn.state
    _fall(turn)
    self_watch.gateways(turn)
    minute = int(turn.monotonic_s // 60)
    if minute != int(turn.before.monotonic_s // 60):
        _each_minute(turn, minute)
    for tracked in state.open:
        if tracked.look_until_s is not None and turn.monotonic_s >= tracked.look_until_s:
            announced(turn, tracked)
    for tracked in state.open:
        if tracked.later_at_s is not None and turn.monotonic_s >= tracked.later_at_s:
            turn.put(replace(tracked, later_at_s=None))
            if not all(key.family in UNHURT for key in tracked.signals):
                turn.want(tracked.incident.id, Occasion.LATER)
    close_what_ended(turn)


def _each_minute(turn: Turn, minute: int) -> None:
    """Judge what needs no second: members that differ, objectives, silent logs; forget what is old."""
    state = turn.state
    in_use = frozenset().union(*(each.signals for each in state.tracked.values())) if state.tracked else frozenset()
    state.signals = {
        key: signal
        for key, signal in state.signals.items()
        if key in in_use or turn.monotonic_s - signal.last_s <= 60 * HOUR_MINUTES
    }
    state.traffic = {place: at for place, at in state.traffic.items() if turn.monotonic_s - at <= 2 * 3600}
    differing = uneven(state.served, state.attempts)
    for tracked in state.open:
        if tracked.signals & set(differing):
            turn.put(replace(tracked, last_s=turn.monotonic_s, served={}))
    bad = [key for key in differing if not _is_known(state, key)]
    for key in bad:
        rows = state.attempts[key.proxy, key.subject]
        failed = sum(row[2] for row in rows)
        signal = Signal(began_s=turn.monotonic_s, began_at=turn.now, last_s=turn.monotonic_s, failures=failed)
        state.signals[key] = replace(signal, symptoms={"one-bad-member": failed})
    open_for(turn, bad)
    _alert_budgets(turn, minute)
    self_watch.each_minute(turn)
    resources.each_minute(turn)


def _is_known(state: State, key: SignalKey) -> bool:
    return any(key.subject in each.incident.targets for each in state.open)


def _alert_budgets(turn: Turn, minute: int) -> None:
    """Open and close the incidents of objectives."""
    for objective in turn.state.objectives:
        found = burning(objective, turn.state.budgets.get(objective.name, Budget()), minute)
        key = SignalKey(objective.proxy or "*", f"objective {objective.name}", Family.BUDGET)
        tracked = next((each for each in turn.state.open if key in each.signals), None)
        if found is None:
            if tracked is not None and burning_is_over(turn, objective, minute):
                closed(turn, tracked, "the error budget is no longer used up too fast")
            continue
        cause = next((each for each in turn.state.open if _explains_budget(each, objective)), None)
        self_watch.alert(turn, key, "allowance-used", found.message, found.severity, caused_by=cause.incident.id if cause else "")


def burning_is_over(turn: Turn, objective: Objective, minute: int) -> bool:
    """Return whether nothing of an objective's allowance was used in the last five minutes."""
    return turn.state.budgets.get(objective.name, Budget()).last(minute, 5)[1] == 0


def _explains_budget(tracked: Tracked, objective: Objective) -> bool:
    incident = tracked.incident
    if all(key.family in OWN - {Family.GATEWAY} for key in tracked.signals) or incident.caused_by or not incident.failures:
        return False
    return objective.proxy in ("", incident.proxy) and (not objective.location or objective.location in incident.locations)
