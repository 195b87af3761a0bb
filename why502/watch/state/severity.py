"""Whom an incident wakes: by how many users are hurt after all retries, and by whether somebody wanted it so."""

from __future__ import annotations

from collections.abc import Iterable

from why502.diagnosis.causes import CAUSES
from why502.model.finding import Finding, Layer
from why502.watch.model import Change, ChangeKind, MemberStatus, Severity
from why502.watch.state.families import UNHURT, Family
from why502.watch.state.triggers import is_burst
from why502.watch.state.values import SignalKey, State

HOUR_S = 3600.0
RESTART_S = 120.0  # how long a service that somebody restarts may stay away
RECOVERED_SHARE = 0.01
SUSTAINED_MINUTES, OF_MINUTES = 10, 15  # retries that help all the time hide a fault that should be mended


def severity_of(keys: Iterable[SignalKey], state: State, finding: Finding | None) -> Severity:
    """Return whom these signals wake, with the cause that is established."""
    signals = {key: state.signals[key] for key in keys if key in state.signals}
    if finding is not None and (finding.layer is Layer.CLIENT or _is_intended(finding)):
        return Severity.NONE
    hurting = [key for key in signals if key.family not in UNHURT]
    if not hurting:  # the clients left, and the reason is not theirs
        is_faulty = finding is not None and any(key.family is Family.CLIENT for key in signals)
        return Severity.TICKET if is_faulty else Severity.NONE
    if any(key.family is Family.UNEVEN for key in hurting) and not any(
        is_burst(signals[key], state.monotonic_s) for key in hurting
    ):
        return Severity.TICKET
    if any(signals[key].hurt or key.family is Family.GATEWAY for key in hurting):
        return Severity.PAGE
    fallen = [key for key in hurting if signals[key].is_check]
    return Severity.PAGE if any(_is_last(key, state) and _had_traffic(key, state) for key in fallen) else Severity.TICKET


def _is_intended(finding: Finding) -> bool:
    return finding.cause in CAUSES and CAUSES[finding.cause].is_intended


def _is_last(key: SignalKey, state: State) -> bool:
    """Return whether no other member of a group that a target serves is left."""
    for each in state.served:
        if each.proxy == key.proxy and key.subject in each.targets:
            others = [target for target in each.targets if target != key.subject]
            if all(state.status(each.proxy, target) is MemberStatus.DOWN for target in others):
                return True
    return False


def _had_traffic(key: SignalKey, state: State) -> bool:
    """Return whether users asked for the target, or for a location that it serves, in the last hour."""
    names = {key.subject, *(each.location for each in state.served if each.proxy == key.proxy and key.subject in each.targets)}
    return any(state.monotonic_s - state.traffic.get((key.proxy, name), -2 * HOUR_S) <= HOUR_S for name in names)


def is_planned(key: SignalKey, state: State) -> bool:
    """Return whether somebody stopped what serves a target, or restarts it now."""
    scope = state.scopes.get(key.subject)
    if scope is None or state.now is None:
        return False
    last = _last_change(scope.units, state)
    if last is None or not last.is_planned:
        return False
    return last.detail.startswith("stopped") or (state.now - last.at).total_seconds() <= RESTART_S


def is_stopped_on_purpose(units: Iterable[str], state: State) -> bool:
    """Return whether the last thing that happened to these units is that somebody stopped them."""
    last = _last_change(units, state)
    return last is not None and last.is_planned and last.detail.startswith("stopped")


def _last_change(units: Iterable[str], state: State) -> Change | None:
    """Return the last start or end of these units."""
    names = {*units}
    own = [each for each in state.changes if each.kind in (ChangeKind.UNIT, ChangeKind.IMAGE) and names & {*each.units}]
    return max(own, key=lambda change: change.at, default=None)


def is_sustained(key: SignalKey, state: State) -> bool:
    """Return whether retries alone have kept failures from the clients in most of the last minutes, of many attempts."""
    signal, minute = state.signals[key], int(state.monotonic_s // 60)
    if signal.hurt or sum(at > minute - OF_MINUTES for at, _ in signal.minutes) < SUSTAINED_MINUTES:
        return False
    rows = state.attempts.get((key.proxy, key.subject), ())
    tried = sum(row[1] for row in rows)
    return bool(tried) and sum(row[2] for row in rows) > RECOVERED_SHARE * tried
