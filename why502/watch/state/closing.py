"""When an incident ends: nothing fails any more, and there is proof that the same kind of request succeeds.

Silence alone proves nothing: without traffic and without a check the incident stays open and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from why502.watch import concern
from why502.watch.model import MemberStatus, Occasion, Transition
from why502.watch.state.families import OWN
from why502.watch.state.severity import is_planned
from why502.watch.state.turn import Turn
from why502.watch.state.values import Past, State, Tracked

QUIET_S = 300.0
GAPS = 3
LONGEST_QUIET_S = 6 * 3600.0
LEAST_SUCCESSES, MOST_SUCCESSES = 3, 1000
BY_CHANCE = 0.01  # how likely it may be that so many requests succeed though the fault is still there
KEEP_S = 1800.0  # after closing, so that a return is noticed
MOST_PAST = 1000


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an incident has ended, and by what that is known; else what is missing."""

    is_given: bool
    message: str


def quiet_s(tracked: Tracked, state: State) -> float:
    """Return for how many seconds nothing may fail: five minutes, or three times the mean time between two failures."""
    failures = sum(state.signals[key].failures for key in tracked.signals if key in state.signals)
    if tracked.first_s is None or tracked.last_s is None or failures < 2:
        return QUIET_S
    return min(max(QUIET_S, GAPS * (tracked.last_s - tracked.first_s) / (failures - 1)), LONGEST_QUIET_S)


def needed(tracked: Tracked) -> int:
    """Return how many successes make it unlikely that the fault is still there, by the share of requests that failed until the
    last failure.
    """
    incident = tracked.incident
    requests = incident.requests - sum(tracked.served.get(name, 0) for name in incident.locations)
    share = incident.failures / requests if requests > 0 else 1.0
    if share >= 1 or share <= 0:
        return LEAST_SUCCESSES
    return min(max(math.ceil(math.log(BY_CHANCE) / math.log(1 - share)), LEAST_SUCCESSES), MOST_SUCCESSES)


def proof(tracked: Tracked, state: State) -> Proof:
    """Return whether the requests that failed succeed again, or else what is missing."""
    incident, least = tracked.incident, needed(tracked)
    configured = {(each.proxy, target) for each in state.served for target in each.targets}
    left = [
        target
        for target in incident.targets
        if not configured or any((key.proxy, target) in configured for key in tracked.signals)
    ]
    proxies = sorted({key.proxy for key in tracked.signals} or {incident.proxy})
    down = [target for target in left if any(state.status(proxy, target) is MemberStatus.DOWN for proxy in proxies)]
    if down:
        return Proof(is_given=False, message=f"the check of {down[0]} still fails")
    if incident.targets and not left:
        return Proof(is_given=True, message="its targets are no longer configured")
    names = left if left and any(proxy in state.tells_attempts for proxy in proxies) else incident.locations
    successes = sum(tracked.served.get(name, 0) for name in names)
    up = {target for target in left if any(state.status(proxy, target) is MemberStatus.UP for proxy in proxies)}
    if names is left:
        missing = [target for target in left if not tracked.served.get(target) and target not in up]
        if missing:
            return Proof(is_given=False, message=f"no traffic to {missing[0]} since the last failure")
    if successes >= least:
        return Proof(is_given=True, message=f"{successes} requests of the same kind succeeded since the last failure")
    asked = any(state.traffic.get((proxy, name), -math.inf) > (tracked.last_s or 0) for proxy in proxies for name in names)
    if left and up >= set(left) and not asked:
        return Proof(is_given=True, message="there is no traffic, but the check succeeds again")
    return Proof(
        is_given=False,
        message=f"{successes} of the {least} requests needed as proof have succeeded since the last failure"
        if successes
        else "no traffic since the last failure",
    )


def close_what_ended(turn: Turn) -> None:
    """Close the incidents that ended, and forget those that were closed long ago."""
    for tracked in list(turn.state.tracked.values()):
        if tracked.closed_s is not None:
            if turn.monotonic_s - tracked.closed_s > KEEP_S:
                del turn.state.tracked[tracked.incident.id]
        elif tracked.look_until_s is None and tracked.last_s is not None and not _is_of_ours(tracked):
            _consider(turn, tracked)


def _is_of_ours(tracked: Tracked) -> bool:
    """Return whether it is about what the daemon sees for itself, and closes itself."""
    return all(key.family in OWN for key in tracked.signals)


def _consider(turn: Turn, tracked: Tracked) -> None:
    quiet = turn.monotonic_s - (tracked.last_s or 0.0)
    if quiet < quiet_s(tracked, turn.state):
        return
    if _is_stopped_on_purpose(turn, tracked):
        closed(turn, tracked, "it was stopped on purpose, and no request has been refused since")
        return
    found = proof(tracked, turn.state)
    if found.is_given:
        closed(turn, tracked, f"nothing failed for {_minutes(quiet)}, and {found.message}")
    elif not tracked.is_without_traffic and found.message.startswith("no traffic"):
        tracked = turn.put(replace(tracked, is_without_traffic=True))
        turn.step(tracked, f"{found.message}: it stays open until there is proof")


def _is_stopped_on_purpose(turn: Turn, tracked: Tracked) -> bool:
    return not tracked.incident.failures and any(is_planned(key, turn.state) for key in tracked.signals)


def closed(turn: Turn, tracked: Tracked, reason: str) -> Tracked:
    """Close an incident: say what proved that it ended, and which change ended it."""
    incident = tracked.incident
    last = incident.last_failure_at or incident.opened_at
    ended_by = concern.at_the_end(turn.state.changes, turn.scopes(incident), last)
    started = {(change.kind, change.subject, change.at) for change in incident.changes}
    ended_by = tuple(change for change in ended_by if (change.kind, change.subject, change.at) not in started)
    closing = reason
    if ended_by:
        closing += f"; it ended with: {concern.words(ended_by[-1])} at {ended_by[-1].at:%H:%M:%S}"
    was_looking = tracked.look_until_s is not None
    tracked = turn.put(replace(tracked, closed_s=turn.monotonic_s, look_until_s=None, later_at_s=None))
    tracked = turn.change(tracked, closed_at=turn.now, closing=closing, is_fixed=bool(ended_by))
    tracked = turn.step(tracked, f"closed: {closing}")
    if not incident.caused_by:
        past = {key: value for key, value in turn.state.past.items() if key != incident.key}
        past[incident.key] = Past(incident.id, turn.now, bool(ended_by))
        turn.state.past = dict(list(past.items())[-MOST_PAST:])
    if incident.messages and not was_looking:
        tracked = turn.notify(tracked, Transition.RESOLVED, is_quiet=len(tracked.reopened_s) > 0)
        turn.want(incident.id, Occasion.CLOSED)
    for other in turn.state.open:
        if other.incident.caused_by == incident.id:
            turn.step(turn.change(other, caused_by=""), f"incident {incident.id}, which explained it, is closed")
            turn.want(other.incident.id, Occasion.CHANGED)
    return tracked


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes"
