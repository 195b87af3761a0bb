"""Sorts events by time, without duplicates, causes before their effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from why502.logs.reasons import tells_little
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Event

_ENDS_A_START = frozenset({Symptom.START_FAILED, Symptom.ADDRESS_IN_USE})
_ONCE_A_PROCESS = frozenset({Symptom.OOM_KILLED, Symptom.SELINUX_DENIED, Symptom.APPARMOR_DENIED, Symptom.PROCESS_CRASHED})
_FAILURES = frozenset(
    {
        Symptom.START_FAILED,
        Symptom.ADDRESS_IN_USE,
        Symptom.RESTART_LOOP,
        Symptom.PROCESS_CRASHED,
        Symptom.PROCESS_EXITED,
        Symptom.OOM_KILLED,
    }
)
_IN_GENERAL = lazy(r"Failed with result|Failed to start |Failed to run '|(?:Unit )?entered failed state")
_RESTART = "Scheduled restart job"
LOOP = 3  # number of restarts in the window that count as a loop
RECENT = 40  # number of preceding events searched for a duplicate, cause or effect
_ITS_EFFECT = frozenset({Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED})


def joined(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events in order of time, without duplicates and without mere effects of other events.

    The kernel reports an OOM kill in three lines; an application server kills a worker by signal just after calling it too
    slow; an exception that ends a start is logged both ways; a manager summarises earlier messages ("Failed with result
    'signal'").
    """
    kept: list[Event] = []
    for event in sorted(events, key=lambda one: (one.at is not None, one.at or datetime.min.replace(tzinfo=UTC))):
        recent = kept[-RECENT:]
        if any(_sums_up(one, event) or _causes(one, event) for one in recent):
            continue
        twin = next((i for i in range(len(kept) - 1, max(-1, len(kept) - RECENT), -1) if _same(kept[i], event)), None)
        if twin is not None:
            kept[twin] = _merged(kept[twin], event)
        else:
            kept = [*kept[:-RECENT], *(one for one in recent if not _causes(event, one)), event]
    return tuple(event for event in kept if not _has_better_report(event, kept))


def _has_better_report(event: Event, others: list[Event]) -> bool:
    """Return whether an event only reports a failed start, and another event of the same unit gives the reason at the same
    time.
    """
    if event.symptom is not Symptom.START_FAILED or not tells_little(event.detail):
        return False
    return any(
        other.symptom is Symptom.START_FAILED
        and other.unit == event.unit
        and not tells_little(other.detail)
        and (
            _near(other, event, 10)
            or (other.ended_at and event.ended_at and other.at and other.at <= event.ended_at <= other.ended_at)
        )
        for other in others
    )


_SCHEME = lazy(r"(?i)\b(?:https?|ssl|tls)://")


def only_loops(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events with single restarts changed to starts: a counter that grew over months is not a loop."""
    restarts = Counter(event.unit for event in events if event.detail.startswith(_RESTART))
    return tuple(
        msgspec.structs.replace(event, symptom=Symptom.PROCESS_STARTED)
        if event.detail.startswith(_RESTART) and restarts[event.unit] < LOOP
        else event
        for event in events
    )


def _near(one: Event, other: Event, seconds: float) -> bool:
    return one.at is not None and other.at is not None and abs((one.at - other.at).total_seconds()) <= seconds


def _same(one: Event, other: Event) -> bool:
    if one.symptom is not other.symptom:
        return False
    if one.symptom in _ONCE_A_PROCESS and one.pid:
        return one.pid == other.pid and _near(one, other, 2)
    if one.symptom is Symptom.ADDRESS_IN_USE and None in (one.target, other.target) and one.source == other.source:
        return _near(one, other, 3)
    if one.symptom is Symptom.LISTENS_ON and _SCHEME.findall(one.message) != _SCHEME.findall(other.message):
        return False  # it has changed its protocol since
    same = (one.unit, one.process, one.target, one.detail) == (other.unit, other.process, other.target, other.detail)
    return same and one.source == other.source and (one.at == other.at or _near(one, other, 60))


def _merged(one: Event, other: Event) -> Event:
    """Return one event from two; the count grows only if the message was repeated later."""
    again = one.at != other.at and one.detail == other.detail
    if len(other.detail) > len(one.detail):
        one = msgspec.structs.replace(one, message=other.message, detail=other.detail)
    fields = {name: getattr(one, name) or getattr(other, name) for name in ("process", "unit", "cgroup", "target", "path")}
    code = one.code if one.code is not None else other.code
    last = max((at for at in (one.ended_at, other.ended_at) if at), default=None) if again else one.last
    return msgspec.structs.replace(one, **fields, code=code, count=one.count + again, last=last)


def _sums_up(before: Event, event: Event) -> bool:
    """Return whether a manager only repeats in general terms an earlier message about the same unit."""
    if not event.unit or before.unit != event.unit or not _near(before, event, 5):
        return False
    if event.symptom is Symptom.PROCESS_STOPPED and event.detail.startswith("Stopped "):
        return before.detail.startswith(_RESTART)
    return before.symptom in _FAILURES and _IN_GENERAL.match(event.detail) is not None


def _causes(reason: Event, effect: Event) -> bool:
    """Return whether `effect` only reports the exit of the process affected by `reason`."""
    if effect.symptom not in _ITS_EFFECT or not _near(reason, effect, 3):
        return False
    if reason.symptom in (Symptom.WORKER_TIMED_OUT, Symptom.OOM_KILLED):
        killed = effect.code in (6, 9)
        return killed and (
            reason.pid == effect.pid if reason.pid and effect.pid else bool(reason.unit) and reason.unit == effect.unit
        )
    return reason.symptom in _ENDS_A_START and reason.source == effect.source and effect.unit == reason.unit
